"""Rules about the tree as a whole. Each takes a root and the paths in it, and returns its faults as `file:line: what`."""

import os
import re
import subprocess

MOST_LINES = 500
SOURCE_SUFFIXES = (".h", ".hpp", ".cpp", ".cc", ".cu", ".cuh")
# Folders of one machine. A path in prose or code that begins with one of them works nowhere else.
MACHINE_FOLDERS = re.compile(rb"/(?:work|root|home)/")
# What is made, not written.
MADE = {".git", "build", ".venv", ".venv-test", ".cache", "__pycache__"}


def tracked_files(root):
    """Paths of the checkout, relative to `root`: git's, with the files it does not ignore; without git all but what is made."""
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
    ) if os.path.exists(os.path.join(root, ".git")) else None
    if listed and listed.returncode == 0:
        paths = [name for name in listed.stdout.decode().split("\0") if name]
        return sorted(path for path in paths if os.path.isfile(os.path.join(root, path)))
    found = []
    for place, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in MADE]
        found += [os.path.relpath(os.path.join(place, name), root) for name in files]
    return sorted(found)


def read(root, path):
    with open(os.path.join(root, path), "rb") as file:
        return file.read()


def files_too_long(root, paths):
    faults = []
    for path in paths:
        if path.startswith("src/") and path.endswith(SOURCE_SUFFIXES):
            lines = read(root, path).count(b"\n")
            if lines > MOST_LINES:
                faults.append(f"{path}:{MOST_LINES + 1}: {lines} lines; the most is {MOST_LINES}")
    return faults


def machine_paths(root, paths):
    faults = []
    for path in paths:
        content = read(root, path)
        if b"\0" in content:
            continue
        for number, line in enumerate(content.splitlines(), 1):
            found = MACHINE_FOLDERS.search(line)
            if found:
                faults.append(f"{path}:{number}: '{found[0].decode()}' is a folder of one machine")
    return faults


def unlisted_sources(root, paths):
    """Sources of src/ and tests/ that no CMakeLists.txt of their folder, or of one above it, names."""
    lists = {}
    for path in paths:
        if os.path.basename(path) == "CMakeLists.txt":
            text = re.sub(r"#[^\n]*", "", read(root, path).decode())
            lists[os.path.dirname(path)] = set(re.split(r"[\s()\";]+", text))

    def is_listed(path):
        folder = os.path.dirname(path)
        while folder:
            if os.path.relpath(path, folder) in lists.get(folder, ()):
                return True
            folder = os.path.dirname(folder)
        return False

    faults = []
    for path in paths:
        in_tests = path.startswith("tests/") and path.endswith((".cpp", ".cc", ".cu", "_test.py"))
        in_src = path.startswith("src/") and path.endswith((".cpp", ".cc", ".cu"))
        if (in_tests or in_src) and not is_listed(path):
            faults.append(f"{path}:1: no CMakeLists.txt lists it, so it is never built or run")
    return faults


def shell_scripts(root, paths):
    """The paths that are shell scripts, by their name or their first line."""
    return [path for path in paths if path.endswith(".sh") or re.match(rb"#!.*\b(?:ba|da)?sh\b", read(root, path)[:80])]
