"""The notebooks, run headless from the first cell to the last, each in a fresh folder: as they stand, and on S3."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
from tests.s3_server import S3Server

import hermes

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
SIMULATED = "SIMULATED MARKET"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to run in: nothing of the user's Jupyter is read, and whoever asks the network is refused at once."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(home))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.delenv("JUPYTER_PATH", raising=False)
    with tempfile.TemporaryDirectory(prefix="k") as short:  # a socket's path must be short
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", short)
        yield tmp_path


def notebook(name: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def run(book: nbformat.NotebookNode, folder: Path) -> list[nbformat.NotebookNode]:
    """Everything that the cells put out; the kernel is this very Python, reached through files instead of ports."""
    sockets = Path(os.environ["JUPYTER_RUNTIME_DIR"]) / "socket"
    kernel = AsyncKernelManager(transport="ipc", ip=str(sockets), kernel_name="python3")
    NotebookClient(book, km=kernel, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    return [output for cell in cells for output in cell.outputs]


def shown(outputs: list[nbformat.NotebookNode], kind: str) -> list[str]:
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


@pytest.mark.parametrize("name", [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))])
def test_it_is_stored_without_outputs_and_with_one_cell_of_settings(name: str):
    book = notebook(name)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.outputs for cell in cells if cell.outputs] == []
    assert [cell.execution_count for cell in cells if cell.execution_count] == []
    told = [cell for cell in cells if any(word in cell.source for word in ("lake={", "SIMUSDT", "endpoint"))]
    assert [cell.metadata.get("tags") for cell in told] == [["settings"]]


@pytest.mark.parametrize("name", [path.stem for path in sorted(NOTEBOOKS.glob("*.ipynb"))])
def test_it_runs_as_it_stands(name: str, folder: Path):
    outputs = run(notebook(name), folder)
    assert [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []
    html = shown(outputs, "text/html")
    assert sum(SIMULATED in each for each in html) >= 2
    assert "too few to conclude" in "".join(html)
    if name == "smart_momentum":
        (page,) = [each for each in html if each.startswith("<iframe")]
        assert "Simulated market." in page
    (execution,) = folder.glob("lake/gold/trading_signals_smart_momentum_spot_SIMUSDT_4h/*/signals.parquet")
    assert execution.stat().st_size


def test_on_s3_it_runs_with_one_cell_changed(
    folder: Path, s3_server: S3Server, simulated: Path, monkeypatch: pytest.MonkeyPatch
):
    """A lake that somebody else filled with features, under a symbol that is not made by the notebook."""
    url = "s3://notebooks/{layer}"
    monkeypatch.setenv("MINIO_ROOT_USER", s3_server.access_key)
    monkeypatch.setenv("MINIO_ROOT_PASSWORD", s3_server.secret_key)
    settings = hermes.Settings.load(
        lake={"url": url},
        s3={"endpoint": s3_server.endpoint},
        dataset={"symbol": "SIMUSDT"},
        archive={"url": str(simulated)},
    )
    hermes.run(settings)
    rename(hermes.Lake.open(settings), hermes.read_features(settings).collect())
    book = notebook("smart_momentum")
    (cell,) = [cell for cell in book.cells if cell.metadata.get("tags") == ["settings"]]
    for before, after in {
        '"./lake/{layer}"': f'"{url}"',
        '# s3={"endpoint": "http://127.0.0.1:9000"}': f's3={{"endpoint": "{s3_server.endpoint}"}}',
        '"SIMUSDT"': '"BTCUSDT"',
        "2022-03-01": "2024-11-01",
    }.items():
        assert cell.source.count(before) == 1
        cell.source = cell.source.replace(before, after)
    outputs = run(book, folder)
    assert SIMULATED not in "".join(shown(outputs, "text/html"))
    assert not (folder / "lake").exists()
    path = "s3://notebooks/gold/trading_signals_smart_momentum_spot_BTCUSDT_4h/execution_"
    assert any(path in each for each in shown(outputs, "text/plain"))
    assert s3_server.secret_key not in str(outputs)


def rename(lake: hermes.Lake, features) -> None:
    """The same features as another tool would have written them for another symbol."""
    from polars import lit

    table = features.with_columns(symbol=lit("BTCUSDT"))
    lake.gold.write("gold_features_spot_monthly_klines_BTCUSDT_4h/year=2025/data_0.parquet", table, {})
