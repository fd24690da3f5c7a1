"""The rule on function length: at most 80 lines from the first line of the head to the brace."""

import ast
import re

MAX_FUNCTION_LINES = 80
SCOPE = re.compile(
    r"(?:inline\s+)?(?:namespace|class|struct|union|enum|extern)\b(?![^{]*\)\s*$)")
LABELS = re.compile(
    r"^(?:(?:public|private|protected)\s*:(?!:)\s*|template\s*<[^{}]*?>(?=\s*\w)\s*)+")
BEFORE_HEAD = re.compile(r"\s*(?:(?:public|private|protected)\s*:(?!:)\s*)*")
# `Type(args) : member` and `…), member`, whose brace initialises the member.
MEMBER = re.compile(r"\)[^()]*(?:(?<!:):(?!:)|,)\s*[A-Za-z_]\w*$")
NAME = re.compile(r"([~\w:]+)\s*\(")


def check_functions(source):
    if source.is_cpp:
        found = cpp_functions(source.code)
    elif source.path.endswith(".py"):
        found = python_functions(source.text)
    else:
        return
    for name, first, last in found:
        if last - first + 1 > MAX_FUNCTION_LINES:
            yield from source.find(first, "function-length", f"{name} has {last - first + 1} "
                                   f"lines; at most {MAX_FUNCTION_LINES}")


def python_functions(text):
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        yield f"syntax error ({error.msg})", 1, MAX_FUNCTION_LINES + 1
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name, node.lineno, node.end_lineno


def cpp_functions(code):
    """Yields (name, first line, last line) of the functions in C++ text without comments.

    A brace that follows a parenthesised head, directly within namespaces and classes, opens a
    function; braces below it only count depth. A heuristic: it knows no macros that hide braces.
    """
    code = without_preprocessor(code)
    open_braces = []  # (kind, name, first line) of each brace that is open
    head_start = 0
    for match in re.finditer(r"[{};]", code):
        mark, at = match.group(), match.start()
        if mark == "{":
            within_scopes = all(kind == "scope" for kind, _, _ in open_braces)
            head = code[head_start:at]
            kind = kind_of(head) if within_scopes else "block"
            open_braces.append((kind, name_of(head), first_line(code, head_start)))
            if kind == "block":
                continue  # the head goes on after a braced argument or member initialiser
        elif mark == "}" and open_braces:
            kind, name, first = open_braces.pop()
            if kind == "function":
                yield name, first, code.count("\n", 0, at) + 1
            if kind == "block":
                continue
        elif any(kind != "scope" for kind, _, _ in open_braces):
            continue
        head_start = at + 1


def without_preprocessor(code):
    directive = re.compile(r"^[ ]*#(?:[^\n\\]|\\\n|\\)*", re.MULTILINE)
    return directive.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), code)


def kind_of(head):
    head = LABELS.sub("", head.strip())
    if SCOPE.match(head):
        return "scope"
    in_parentheses = head.count("(") > head.count(")")  # a braced default argument
    if "(" not in head or in_parentheses or head.endswith(("=", ",")) or MEMBER.search(head):
        return "block"
    return "function"


def name_of(head):
    match = NAME.search(head)
    return match.group(1) if match else "function"


def first_line(code, start):
    return code.count("\n", 0, BEFORE_HEAD.match(code, start).end()) + 1
