"""What git knows of a claim: whether a file is committed, whether the package is the one that the claim names."""

import os
import shutil
import subprocess
from functools import cache

from claim_file import FOLDER, named_words

from fer3d.errors import ConfigError, FileError

# The package, the simulator, the data sets' cards, and what builds them.
PACKAGE = ("fer3d", "csrc", "datasets", "CMakeLists.txt", "Makefile", "pyproject.toml", "constraints.txt")


def git(folder, *arguments):
    """What a git command prints.

    Raises:
        FileError: with the last line of git's own error.
    """
    code, text, error = _git(folder, arguments)
    if code:
        lines = error.strip().splitlines() or text.strip().splitlines() or [f"exit code {code}"]
        raise FileError(f"{folder}: `git {arguments[0]}` failed: {lines[-1]}")
    return text


def _git(folder, arguments):
    command = ["git", "-c", "core.quotePath=false", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    return done.returncode, done.stdout, done.stderr


def environment():
    """This process's, without what would point a program at another repository or another package."""
    foreign = ("PYTHONPATH", "VIRTUAL_ENV", "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")
    return {key: value for key, value in os.environ.items() if key not in foreign}


def committed_text(root, file, commit="HEAD"):
    """A file's text at a commit, or None where the commit does not have it."""
    code, text, _ = _git(root, ("show", f"{commit}:{file.relative_to(root).as_posix()}"))
    return None if code else text


def check_committed(root, file, *, may_be_missing=False):
    """See that a file is as it was last committed.

    Raises:
        FileError: if it is not committed, has changed since, or is gone.
    """
    then = committed_text(root, file)
    now = file.read_text(encoding="utf-8") if file.is_file() else None
    if then is None and (now is not None or not may_be_missing):
        raise FileError(f"{file}: wanted a committed file, is not committed")
    if then != now:
        raise FileError(f"{file}: wanted as committed, is {'gone' if now is None else 'changed'}")


def check_only_grown(root):
    """See that no row and no verdict was ever taken back: each committed text of their files begins the next one.

    Raises:
        FileError: if a row or a verdict was changed or removed.
    """
    patterns = [f"{FOLDER}/*.verdicts.toml", f"{FOLDER}/*.rows.csv"]
    names = set(git(root, "log", "--format=", "--name-only", "--", *patterns).split("\n")) - {""}
    for file in sorted(root / name for name in names):
        now = committed_text(root, file) or ""
        for commit in git(root, "log", "--format=%H", "--", file).split():
            if not now.startswith(committed_text(root, file, commit) or ""):
                raise FileError(f"{file}: wanted all that it held at {commit[:7]}, a part is changed or gone")


def claim_commit(root, file):
    """The commit that last changed a claim file."""
    return git(root, "log", "-1", "--format=%H", "--", file).strip()


def full_commit(root, file, commit):
    """The forty digits of the commit that a claim names.

    Raises:
        ConfigError: if the repository does not have it.
    """
    code, text, _ = _git(root, ("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"))
    if code:
        raise ConfigError(f"{file}: `commit`: wanted a commit of this repository, got {commit}")
    return text.strip()


def frozen_paths(root, claim, commit):
    """What must not change while a claim is open: the package, the claim's `files`, the files that commands name."""
    named = tracked_files(root, commit).intersection(named_words(claim))
    return [*PACKAGE, *sorted(named.union(claim.files))]


@cache
def tracked_files(root, commit):
    """Every file of a commit."""
    return frozenset(git(root, "ls-tree", "-r", "--name-only", commit).splitlines())


def check_frozen(root, file, claim, commit):
    """See that the package, the simulator and the rivals' settings are those of `commit`, when stated and now.

    Raises:
        FileError: names the first file that differs.
    """
    paths = frozen_paths(root, claim, commit)
    for path in claim.files:
        if path not in tracked_files(root, commit):
            raise FileError(f"{root / path}: wanted in commit {commit[:7]}, as {file.name} names it, is not there")
    stated = claim_commit(root, file)
    for path in git(root, "diff", "--name-only", commit, stated, "--", *paths).splitlines():
        raise FileError(f"{root / path}: wanted as at {commit[:7]}, which {file.name} names, differs where stated")
    now = git(root, "diff", "--name-only", commit, "--", *paths).splitlines()
    now += git(root, "ls-files", "--others", "--exclude-standard", "--", *paths).splitlines()
    for path in now:
        raise FileError(f"{root / path}: wanted as at {commit[:7]}, which {file.name} names, has changed")


def commit_files(root, message, *files):
    """Commit these files and nothing else."""
    git(root, "add", "--", *files)
    git(root, "commit", "--quiet", "-m", message, "--", *files)


def make_worktree(root, tree, commit):
    """A worktree at `commit`. One that is there and clean is used again, any other is made anew."""
    if tree.is_dir() and is_clean(tree, commit):
        return
    remove_worktree(root, tree)
    tree.parent.mkdir(parents=True, exist_ok=True)
    git(root, "worktree", "add", "--quiet", "--detach", tree, commit)


def is_clean(tree, commit):
    """Whether a worktree is at `commit` with no tracked file changed."""
    _, top, _ = _git(tree, ("rev-parse", "--show-toplevel"))
    at, head, _ = _git(tree, ("rev-parse", "HEAD"))
    status, changed, _ = _git(tree, ("status", "--porcelain", "--untracked-files=no"))
    same = top.strip() != "" and tree.samefile(top.strip())
    return same and not at and not status and head.strip() == commit and not changed


def remove_worktree(root, tree):
    """Remove a worktree, whatever is in it, and git's memory of it."""
    if tree.exists():
        shutil.rmtree(tree)
    git(root, "worktree", "prune")
