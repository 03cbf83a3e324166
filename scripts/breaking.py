"""What scripts that break a copy of the tree on purpose have in common."""
import pathlib, re, shutil, subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent


def copy(to):
    """The sources, as committed or not."""
    shutil.rmtree(to, ignore_errors=True)
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True,
                           capture_output=True, text=True).stdout.split("\n")
    for f in filter(None, files):
        if (ROOT / f).is_file():
            (to / f).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / f, to / f)


class Broken:
    """A file of the copy with a fault in it, for as long as it is entered. `old` must
    stand there once."""

    def __init__(self, tree, file, old, new):
        self.path, self.old, self.new = tree / file, old, new
        self.text = self.path.read_text()
        self.stands = self.text.count(old)

    def __enter__(self):
        self.path.write_text(self.text.replace(self.old, self.new))

    def __exit__(self, *_):
        self.path.write_text(self.text)


def with_table(document, name, head, rows):
    """The document's text, with that table between the marks of that name."""
    line = lambda cells: "| " + " | ".join(cells) + " |"
    table = "\n".join([line(head), "|" + "---|" * len(head)] + [line(row) for row in rows])
    between = re.compile(f"(<!-- {name}: begin -->\n).*(<!-- {name}: end -->)", re.S)
    return between.sub(lambda m: m[1] + table + "\n" + m[2], document.read_text())
