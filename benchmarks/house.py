"""How large the house is: lines, files, long functions, functions of many parameters. Takes a checkout's folder."""

import ast
import statistics
import sys
from pathlib import Path


def main(root: Path) -> None:
    sizes: dict[str, int] = {}
    functions: dict[str, tuple[int, int]] = {}  # name -> lines, parameters
    for file in sorted((root / "src" / "semiretina").rglob("*.py")):
        text = file.read_text("utf-8")
        sizes[str(file)] = len(text.splitlines())
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                taken = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                parameters = sum(argument.arg not in ("self", "cls") for argument in taken)
                functions[f"{file.name}:{node.name}"] = (node.end_lineno or 0) - node.lineno + 1, parameters
    many = {name for name, (_, count) in functions.items() if count > 6 and ":_" not in name}
    print(f"files {len(sizes)}, lines {sum(sizes.values())}, median file {statistics.median(sizes.values()):g}")
    print(f"files above 260 lines: {sum(size > 260 for size in sizes.values())}, the largest {max(sizes.values())}")
    print(f"functions above 60 lines: {sum(lines > 60 for lines, _ in functions.values())}")
    print(f"public functions with more than 6 parameters: {len(many)}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
