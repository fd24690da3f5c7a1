"""clang-format and clang-tidy, both pinned to version 14: other versions format differently.

clang-tidy takes seconds per file, so a file that passed is noted in a cache under a hash of all it
was checked from: itself, the headers of src/ it reaches, and the configuration.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

from parts import INCLUDE
from source import Finding

VERSION = "14"
DIAGNOSTIC = re.compile(r"^(.+?):(\d+):\d+: (?:error|warning): (.*)$", re.MULTILINE)


class MissingTool(Exception):
    pass


def find_tool(name):
    """The path of the pinned version; raises MissingTool where it is not installed."""
    for candidate in (f"{name}-{VERSION}", name):
        path = shutil.which(candidate)
        if path:
            text = subprocess.run([path, "--version"], capture_output=True, text=True).stdout
            if re.search(rf"version {VERSION}\.", text):
                return path
    raise MissingTool(f"{name} {VERSION} is not installed; try scripts/setup.sh test")


def check_format(root, sources):
    tool = find_tool("clang-format")
    paths = [source.path for source in sources if source.is_cpp]
    for start in range(0, len(paths), 100):
        batch = paths[start:start + 100]
        result = subprocess.run([tool, "--dry-run", "-Werror", "--ferror-limit=1", *batch],
                                cwd=root, capture_output=True, text=True)
        for path, line, message in DIAGNOSTIC.findall(result.stderr):
            yield Finding(path, int(line), "format", f"{message.split(' [')[0]}; run {tool} -i")


def check_clang_tidy(root, sources, named, build, cache):
    """Runs clang-tidy on the named .cc files of src/ that `build` compiles and no cache knows."""
    tool = find_tool("clang-tidy")
    database = pathlib.Path(root, build, "compile_commands.json")
    if not database.exists():
        raise MissingTool(f"{database} is not there; try scripts/build.sh first")
    compiled = database.read_text()
    by_path = {source.path: source for source in sources}
    config = pathlib.Path(root, ".clang-tidy").read_bytes()
    waiting = []
    for source in sources:
        wanted = source.path in named and re.fullmatch(r"src/.*\.cc", source.path)
        if wanted and f"/{source.path}\"" in compiled:
            mark = cache / key_of(source, by_path, config)
            if not mark.exists():
                waiting.append((source.path, mark))
    cache.mkdir(parents=True, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(lambda job: run_clang_tidy(tool, root, build, *job), waiting):
            yield from found


def run_clang_tidy(tool, root, build, path, mark):
    result = subprocess.run([tool, "--quiet", "-p", build, path], cwd=root, capture_output=True,
                            text=True)
    found = []
    for name, line, message in DIAGNOSTIC.findall(result.stdout):
        relative = os.path.relpath(name, root)
        found.append(Finding(relative, int(line), "clang-tidy", message))
    if not found and result.returncode != 0:
        last = (result.stderr.strip() or "no message").splitlines()[-1]
        found.append(Finding(path, 1, "clang-tidy", f"exit {result.returncode}: {last}"))
    if not found:
        mark.touch()
    return found


def key_of(source, by_path, config):
    """A hash over everything of ours that decides what clang-tidy says about a file."""
    seen, waiting = set(), [source.path]
    while waiting:
        path = waiting.pop()
        if path in seen or path not in by_path:
            continue
        seen.add(path)
        for line in by_path[path].lines:
            match = INCLUDE.match(line)
            if match:
                waiting.append(f"src/{match.group(2)}")
    digest = hashlib.sha256(config)
    for path in sorted(seen):
        digest.update(path.encode() + b"\0" + by_path[path].data)
    return digest.hexdigest()
