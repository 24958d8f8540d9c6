"""Runs the notebooks and keeps their pictures, and nothing else of their output: python docs/notebook_view.py."""

import shutil
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

REPOSITORY = Path(__file__).resolve().parents[1]
PICTURES = ("image/png", "image/jpeg")


def main() -> None:
    """Run each notebook in an empty folder, then write it with its pictures."""
    for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "notebooks"
            shutil.copytree(path.parent, place)
            (Path(folder) / "data_prep").symlink_to(REPOSITORY / "data_prep")
            book = nbformat.read(path, as_version=4)
            NotebookClient(book, timeout=600, resources={"metadata": {"path": str(place)}}).execute()
        for cell in book.cells:
            cell.metadata = {}
            if cell.cell_type == "code":
                cell.execution_count = None
                cell.outputs = [kept for output in cell.outputs if (kept := _picture(output)) is not None]
        book.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
        nbformat.write(book, path)
        print(path.name)


def _picture(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    shown = {kind: data for kind, data in output.get("data", {}).items() if kind in PICTURES}
    return nbformat.v4.new_output("display_data", data=shown) if shown else None


if __name__ == "__main__":
    main()
