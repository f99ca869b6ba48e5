"""The notebooks, run headless from the first cell to the last, each in a fresh folder: as stored, and on S3."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from tests.s3_server import S3Server
from tools.notebooks import FOLDER as NOTEBOOKS
from tools.notebooks import differences, names, read, run, storable

import hermes

SIMULATED = "SIMULATED MARKET"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
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
    return tmp_path


def outputs_of(book: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Everything that the cells put out."""
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in cells)
    return [output for cell in cells for output in cell.outputs]


def shown(outputs: list[nbformat.NotebookNode], kind: str) -> list[str]:
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


@pytest.mark.parametrize("name", names())
def test_it_is_stored_with_outputs_and_with_one_cell_of_settings(name: str):
    book = read(name)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "python -m tools.notebooks"
    assert outputs_of(book)
    told = [cell for cell in cells if any(word in cell.source for word in ("lake={", "SIMUSDT", "endpoint"))]
    assert [cell.metadata.get("tags") for cell in told] == [["settings"]]
    whole = (NOTEBOOKS / f"{name}.ipynb").read_text()
    assert len(whole) < 1_000_000
    assert [each for each in ("/home/", "/tmp/", "/work/", "/root/", str(Path.home())) if f"{each}" in whole] == []


@pytest.mark.parametrize("name", names())
def test_it_uses_what_is_public_alone(name: str):
    imported = set()
    for cell in read(name).cells:
        if cell.cell_type == "code":
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.ImportFrom):
                    imported |= (
                        {node.module} if node.module != "hermes" else {f"hermes:{each.name}" for each in node.names}
                    )
                elif isinstance(node, ast.Import):
                    imported |= {each.name for each in node.names}
    ours = {each for each in imported if each.startswith("hermes")}
    assert ours <= {
        "hermes",
        "hermes.testing",
        "hermes.strategies.base",
        *(f"hermes:{each}" for each in hermes.__all__),
    }


@pytest.mark.parametrize("name", names())
def test_it_runs_as_it_stands_and_puts_out_what_is_stored(name: str, folder: Path):
    made = run(read(name), folder)
    outputs = outputs_of(made)
    assert [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"] == []
    html = shown(outputs, "text/html")
    assert sum(SIMULATED in each for each in html) >= 2
    assert "too few to conclude" in "".join(html)
    if name == "smart_momentum":
        (page,) = [each for each in html if each.startswith("<iframe")]
        assert "Simulated market." in page
    (execution,) = folder.glob("lake/gold/trading_signals_smart_momentum_spot_SIMUSDT_4h/*/signals.parquet")
    assert execution.stat().st_size
    assert differences(read(name), storable(made, folder)) == []


def test_another_figure_is_a_difference_and_another_moment_is_none():
    book = read("smart_momentum")
    (at, cell), *_ = [
        (at, cell)
        for at, cell in enumerate(book.cells)
        if any("total" in str(each) for each in cell.get("outputs", []))
    ]
    text = nbformat.writes(book)
    other = nbformat.reads(re.sub(r"execution_\d{8}_\d{6}", "execution_20990101_000000", text), as_version=4)
    assert differences(book, other) == []
    for output in other.cells[at].outputs:
        for kind, said in output.get("data", {}).items():
            output.data[kind] = f"{said}0"
    (found,) = differences(book, other)
    assert found.startswith(f"cell {at}: stored …")
    assert cell.outputs


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
    book = read("smart_momentum")
    (cell,) = [cell for cell in book.cells if cell.metadata.get("tags") == ["settings"]]
    for before, after in {
        '"./lake/{layer}"': f'"{url}"',
        '# s3={"endpoint": "http://127.0.0.1:9000"}': f's3={{"endpoint": "{s3_server.endpoint}"}}',
        '"SIMUSDT"': '"BTCUSDT"',
        "2022-03-01": "2024-11-01",
    }.items():
        assert cell.source.count(before) == 1
        cell.source = cell.source.replace(before, after)
    outputs = outputs_of(run(book, folder))
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
