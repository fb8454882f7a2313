"""Puts the pages of the whole project on its site: a hook of MkDocs, named in mkdocs.yml.

MkDocs knows one folder of pages. This hook gives it more, each at its place in the project, so
that a link or a picture has the same relative path on the site, on GitHub and on disk. It also
keeps options such as `--dry-run` on one line.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent

SINGLE = (
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "constraints.txt",
)  # fmt: skip
"""The files of the project's root that pages lead to."""

FOLDERS = ("docs", "results/published")
"""The folders whose files are on the site, all but Python's."""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Returns the site's files: those of the theme, and those of the project in place of `docs`."""
    theme = [file for file in files if file.src_dir != config.docs_dir]
    ours = [
        File(name, str(ROOT), config.site_dir, config.use_directory_urls) for name in site_files()
    ]
    return Files([*theme, *ours])


def on_page_content(html: str, **_: object) -> str:
    """Returns a page with the options in its text marked, so that no line ends within one."""
    return _CODE.sub(lambda code: _OPTION.sub(r'<span class="option">\g<0></span>', code[0]), html)


_CODE = re.compile(r"<code>[^<]*</code>")
_OPTION = re.compile(r"(?<![\w-])--[\w-]+")


def site_files() -> list[str]:
    """Returns the paths of the project's files on the site, relative to its root."""
    paths = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")))
    shown = (p for p in paths if p.is_file() and p.suffix not in (".py", ".pyc"))
    return [*SINGLE, *(path.relative_to(ROOT).as_posix() for path in shown)]
