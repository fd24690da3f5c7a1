#!/usr/bin/env python3
"""Makes train.txt and held_out.txt from Debian's bible-kjv packages; see PROVENANCE.md.

The files are part of the repository, so this runs only when they are to be made anew:
    apt-get install bible-kjv && python3 examples/offline/make_corpus.py
"""

import argparse
import pathlib
import re
import subprocess

BOOKS = {
    "Mat": "Matthew", "Mark": "Mark", "Luke": "Luke", "John": "John", "Acts": "Acts",
    "Rom": "Romans", "1Cor": "1 Corinthians", "2Cor": "2 Corinthians", "Gal": "Galatians",
    "Eph": "Ephesians", "Phi": "Philippians", "Col": "Colossians", "1Th": "1 Thessalonians",
    "2Th": "2 Thessalonians", "1Tim": "1 Timothy", "2Tim": "2 Timothy", "Titus": "Titus",
    "Phmn": "Philemon", "Heb": "Hebrews", "Jas": "James", "1Pet": "1 Peter", "2Pet": "2 Peter",
    "1Jn": "1 John", "2Jn": "2 John", "3Jn": "3 John", "Jude": "Jude", "Rev": "Revelation",
}
VERSE = re.compile(r"(\d?[A-Za-z]+)(\d+):(\d+) (.*)")
HELD_OUT_EVERY = 20  # one chapter in twenty is held out: about 50 KB


def read_chapters(lines):
    """Heading -> the verses of that chapter, in the order of the book."""
    chapters = {}
    for line in lines:
        match = VERSE.fullmatch(line.strip())
        if not match:
            raise SystemExit(f"[make_corpus] not a verse: {line!r}")
        book, chapter, _, text = match.groups()
        chapters.setdefault(f"{BOOKS[book]} {chapter}", []).append(text)
    return chapters


def write(path, chapters):
    blocks = ["\n".join([heading, *verses]) for heading, verses in chapters]
    path.write_text("\n\n".join(blocks) + "\n", encoding="ascii")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--bible", default="bible", help="the program of package bible-kjv")
    options = parser.parse_args()
    printed = subprocess.run([options.bible, "-f", "Matthew1:1-Revelation22:21"], check=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True).stdout
    chapters = list(read_chapters(printed.splitlines()).items())
    folder = pathlib.Path(__file__).parent
    held_out = chapters[HELD_OUT_EVERY - 1::HELD_OUT_EVERY]
    write(folder / "held_out.txt", held_out)
    write(folder / "train.txt", [item for item in chapters if item not in held_out])


if __name__ == "__main__":
    main()
