"""The tidy rules, each shown what it must refuse and what it must leave alone."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools" / "tidy"))

import functions  # noqa: E402
import parts  # noqa: E402
import text_rules  # noqa: E402
from source import Source, list_files  # noqa: E402

HEAD = "// What lives here.\n"


def rules(check, path, text):
    """(line, rule) of each finding of one rule on one made-up file."""
    found = check(Source(path, text.encode()))
    return [(item.line, item.rule) for item in found]


class TextRules(unittest.TestCase):
    def test_width_counts_characters_not_bytes(self):
        fits = HEAD + "// " + "é" * 97 + "\n"
        self.assertEqual(rules(text_rules.check_text, "src/a/b.cc", fits), [])
        self.assertEqual(rules(text_rules.check_text, "src/a/b.cc", HEAD + "x" * 101 + "\n"),
                         [(2, "width")])

    def test_stray_characters(self):
        text = HEAD + "int x; \n\tint y;\nint z;\r\n<<<<<<< mine\nend"
        self.assertEqual(rules(text_rules.check_text, "src/a/b.cc", text),
                         [(2, "whitespace"), (3, "whitespace"), (4, "whitespace"), (5, "conflict"),
                          (6, "whitespace")])

    def test_file_length(self):
        self.assertEqual(rules(text_rules.check_text, "src/a/b.cc", HEAD * 800), [])
        self.assertEqual(rules(text_rules.check_text, "src/a/b.cc", HEAD * 801),
                         [(801, "file-length")])

    def test_todo_needs_owner_and_condition(self):
        mark = "TO" "DO"
        text = f"// {mark}(ann): once fmt 10 is there\n// {mark}: later\n// {mark}(ann)\n"
        self.assertEqual(rules(text_rules.check_text, "src/a/b.cc", text),
                         [(2, "todo"), (3, "todo")])

    def test_head_comment(self):
        self.assertEqual(rules(text_rules.check_head, "src/a/b.cc", "int x;\n"), [(1, "head")])
        self.assertEqual(rules(text_rules.check_head, "src/a/b.cc", '#include "a/b.h"\n'), [])
        self.assertEqual(rules(text_rules.check_head, "src/a/b.cc", '#include "c/b.h"\n'),
                         [(1, "head")])
        self.assertEqual(rules(text_rules.check_head, "src/a/b.h", HEAD), [(1, "head")])
        self.assertEqual(rules(text_rules.check_head, "src/a/b.h", HEAD + "#pragma once\n"), [])
        self.assertEqual(rules(text_rules.check_head, "x.sh", "#!/bin/bash\n# Says what.\n"), [])
        self.assertEqual(rules(text_rules.check_head, "x.sh", "#!/bin/bash\nls\n"), [(1, "head")])

    def test_banned_calls(self):
        for call in ("auto* p = new Thing(1);", "void* p = malloc(8);", "std::printf(\"x\");",
                     "std::cout << 1;", "int r = rand();", "assert(x > 0);", "atoi(text);",
                     "FILE* f = fopen(p, m);", "using namespace std;"):
            with self.subTest(call):
                text = HEAD + "void f() {\n  " + call + "\n}\n"
                self.assertEqual(rules(text_rules.check_banned, "src/a/b.cc", text),
                                 [(3, "banned")])

    def test_what_looks_like_a_banned_call(self):
        text = HEAD + ('// new Thing, malloc(8)\n/* assert(x)\nrand() */\n'
                       'const char* s = "malloc(8) \\" new Thing";\nauto r = R"(printf("))";\n'
                       "static_assert(sizeof(int) == 4);\nint n = 1'000; char c = '\"';\n"
                       "snprintf(b, 4, s); new (place) Thing(); my_rand(); operand(x);\n")
        self.assertEqual(rules(text_rules.check_banned, "src/a/b.cc", text), [])
        self.assertEqual(rules(text_rules.check_banned, "src/cli/b.cc", "printf(s);\n"), [])

    def test_breach_can_be_allowed_with_a_reason(self):
        allowed = "// tidy: allow banned: the C library frees it\nvoid* p = malloc(8);\n"
        self.assertEqual(rules(text_rules.check_banned, "src/a/b.cc", allowed), [])
        bare = "// tidy: allow banned:\nvoid* p = malloc(8);\n"
        self.assertEqual(rules(text_rules.check_banned, "src/a/b.cc", bare), [(2, "banned")])


class FunctionLength(unittest.TestCase):
    def lengths(self, text):
        source = Source("src/a/b.cc", text.encode())
        return [(name, last - first + 1) for name, first, last
                in functions.cpp_functions(source.code)]

    def test_finds_functions_and_their_lengths(self):
        text = ("namespace outsize {\nnamespace {\nint one(int x) {\n  return x;\n}\n}\n"
                "class Thing : public Base<int> {\n public:\n  explicit Thing(int x)\n"
                "      : a_{x}, b_(x) {\n    if (x) {\n    }\n  }\n"
                "  int get() const { return a_; }\n  int a_{0};\n"
                "  std::vector<int> c_ = {1, 2};\n};\n"
                "template <typename T>\nauto Thing::run(T f, std::vector<int> v = {}) const\n"
                "    -> std::string {\n  for (;;) { f([] { return 1; }); }\n}\n"
                "const int kTable[] = {1, 2,\n 3};\n#define X(a) { a\n"
                "TEST(A, B) {\n  run();\n}\n}\n")
        self.assertEqual(self.lengths(text), [("one", 3), ("Thing", 5), ("get", 1),
                                              ("Thing::run", 5), ("TEST", 3)])

    def test_limit(self):
        body = "void f() {\n" + "  g();\n" * 78 + "}\n"
        self.assertEqual(rules(functions.check_functions, "src/a/b.cc", body), [])
        body = "\nvoid f() {\n" + "  g();\n" * 79 + "}\n"
        self.assertEqual(rules(functions.check_functions, "src/a/b.cc", body),
                         [(2, "function-length")])

    def test_python(self):
        body = "def f():\n" + "    g()\n" * 80
        self.assertEqual(rules(functions.check_functions, "a.py", body), [(1, "function-length")])
        self.assertEqual(rules(functions.check_functions, "a.py", body[:-8]), [])
        self.assertEqual(rules(functions.check_functions, "a.py", "def :\n"),
                         [(1, "function-length")])


class IncludeDirection(unittest.TestCase):
    def findings(self, **texts):
        """Checks a tree of the parts core, graph (on core), ops (on graph)."""
        files = {"src/core/CMakeLists.txt": "outsize_part(core)\n",
                 "src/graph/CMakeLists.txt": "# on core\noutsize_part(graph DEPENDS core)\n",
                 "src/ops/CMakeLists.txt":
                     "outsize_part(ops DEPENDS graph\n  LIBRARIES core_like FOLDERS a)\n",
                 "src/core/error.h": "", "src/graph/graph.h": "", "src/ops/add/add.h": ""}
        files.update(texts)
        tree = [Source(path, text.encode()) for path, text in files.items()]
        return [(item.path, item.line, item.rule) for item in parts.check_parts(tree)]

    def test_down_and_through_is_allowed(self):
        self.assertEqual(self.findings(**{"src/ops/add/add.cc":
            '#include "ops/add/add.h"\n#include "core/error.h"\n#include "graph/graph.h"\n'
            "#include <vector>\n"}), [])

    def test_up_is_refused(self):
        self.assertEqual(self.findings(**{"src/graph/x.cc": '\n#include "ops/add/add.h"\n'}),
                         [("src/graph/x.cc", 2, "include")])

    def test_path_must_start_below_src(self):
        self.assertEqual(self.findings(**{"src/ops/add/x.cc": '#include "add.h"\n'}),
                         [("src/ops/add/x.cc", 1, "include")])

    def test_circle_and_unknown_part(self):
        found = self.findings(**{"src/core/CMakeLists.txt": "outsize_part(core DEPENDS ops log)"})
        self.assertIn(("src/core/CMakeLists.txt", 1, "parts"), found)
        self.assertEqual(len([item for item in found if item[0].startswith("src/core")]), 2)


class WholeProgram(unittest.TestCase):
    def run_tidy(self, files, *options):
        with tempfile.TemporaryDirectory() as folder:
            for name, text in files.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            for name in (".clang-format", ".clang-tidy"):
                shutil.copy(ROOT / name, folder)
            command = [{"directory": folder, "file": f"{folder}/src/a/a.cc",
                        "command": f"c++ -std=c++20 -c {folder}/src/a/a.cc"}]
            pathlib.Path(folder, "compile_commands.json").write_text(json.dumps(command))
            return subprocess.run([sys.executable, "-B", str(ROOT / "tools/tidy/tidy.py"), "--root",
                                   folder, *options], capture_output=True, text=True,
                                  env={**os.environ, "OUTSIZE_CACHE": f"{folder}/cache"})

    def test_clean_tree_passes(self):
        result = self.run_tidy({"src/a/CMakeLists.txt": "outsize_part(a)\n",
                                "src/a/a.cc": HEAD + "int x = 1;\n"})
        self.assertEqual((result.returncode, result.stdout), (0, "tidy: 2 passed, 0 failed\n"))

    def test_format_breach_fails(self):
        result = self.run_tidy({"src/a/a.cc": HEAD + "int   x=1;\n"})
        self.assertEqual(result.returncode, 1)
        self.assertIn("src/a/a.cc:2: format: ", result.stdout)
        self.assertTrue(result.stdout.endswith("tidy: 0 passed, 1 failed\n"))

    def test_named_files_only(self):
        files = {"src/a/a.cc": "int x;\n", "src/a/b.cc": "int y;\n"}
        result = self.run_tidy(files, "--no-format", "src/a/b.cc")
        self.assertEqual(result.stdout.splitlines()[0].split(": ")[:2], ["src/a/b.cc:1", "head"])
        self.assertEqual(len(result.stdout.splitlines()), 2)

    def test_clang_tidy(self):
        text = HEAD + "#include <string>\nbool f(const std::string& s) { return %s; }\n"
        good = self.run_tidy({"src/a/a.cc": text % "s.empty()"}, "--clang-tidy", ".")
        self.assertEqual((good.returncode, good.stdout), (0, "tidy: 1 passed, 0 failed\n"))
        bad = self.run_tidy({"src/a/a.cc": text % "s.size() == 0"}, "--clang-tidy", ".")
        self.assertEqual(bad.returncode, 1)
        self.assertRegex(bad.stdout, r"^src/a/a.cc:3: clang-tidy: .*container-size-empty")

    def test_clang_tidy_without_a_build_says_what_to_do(self):
        result = self.run_tidy({"src/a/a.cc": HEAD}, "--clang-tidy", "nowhere")
        self.assertEqual(result.returncode, 1)
        self.assertIn("try scripts/build.sh", result.stdout)

    def test_lists_this_tree(self):
        self.assertIn("tools/tidy/tidy.py", list_files(ROOT))


if __name__ == "__main__":
    unittest.main()
