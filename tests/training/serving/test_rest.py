"""Requests to a served model: answered with its predictions, or refused with a clear 4xx."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from starlette.testclient import TestClient

from millstream.tracking.dataset.records import Column
from millstream.tracking.errors import BadData, BadEnvironment, WrongRecipe
from millstream.training.serving import rest
from millstream.training.serving.rest import Limits, Service

TOKEN = "secret-0123456789"


class Doubling:
    """A model that returns twice its column `x`."""

    raw_columns = (Column(name="x", dtype="float64", role="input", meaning="number"),)
    optional = frozenset()
    runtime = SimpleNamespace(
        outputs={"twice": "double", "both": "Array(double)"},
        generated={"image": "Array(double)"},
        generate=lambda count, seed: {"image": [np.array([seed, at]) for at in range(count)]},
    )

    def predict(self, raw):
        if (raw["x"] == 13).any():
            raise BadData.at("input", "13 is bad luck")
        if (raw["x"] == 99).any():
            raise RuntimeError(f"a fault of the model, and {TOKEN} is not in the answer")
        both = [np.array([value, np.nan]) for value in raw["x"]]
        return pd.DataFrame({"twice": 2 * raw["x"], "both": both})


def client(hosts=("testserver",), **options):
    service = Service(Doubling(), "models:/doubling/1", **options)
    return TestClient(service.app(hosts), raise_server_exceptions=False)


def test_rows_of_each_form_are_predicted():
    bodies = (
        {"rows": [{"x": 1.5}, {"x": 2}]},
        {"dataframe_records": [{"x": 1.5}, {"x": 2}]},
        {"dataframe_split": {"columns": ["x"], "data": [[1.5], [2]]}},
    )
    for path, body in zip(("/predict", "/invocations", "/invocations"), bodies, strict=True):
        answer = client().post(path, json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {
            "predictions": [{"twice": 3.0, "both": [1.5, None]}, {"twice": 4.0, "both": [2, None]}]
        }


def test_schema_and_health():
    assert client().get("/health").json() == {"ok": True}
    schema = client().get("/schema").json()
    assert [(one["name"], one["type"], one["optional"]) for one in schema["inputs"]] == [("x", "float64", False)]
    assert schema["outputs"] == {"twice": "double", "both": "Array(double)"}
    assert schema["limits"] == {"body_mib": 8, "rows": 1000}


def test_samples_follow_from_their_seed():
    body = {"count": 2, "seed": 7}
    assert client().post("/generate", json=body).json() == {"samples": [{"image": [7, 0]}, {"image": [7, 1]}]}


REFUSED = {
    "no JSON": (b"{", 400, "no JSON"),
    "NaN": (b'{"rows": [{"x": NaN}]}', 400, "NaN is no number"),
    "a name twice": (b'{"rows": [{"x": 1, "x": 2}]}', 400, "a name comes twice"),
    "no UTF-8": (b'{"rows": "\xff"}', 400, "no JSON"),
    "deeply nested": (b"[" * 100_000, 400, "no JSON"),
    "a number of a million digits": (b'{"rows": [{"x": ' + b"9" * 1_000_000 + b"}]}", 400, "no JSON"),
    "a list": (b"[1]", 400, "one JSON object"),
    "no rows": (b"{}", 422, "no rows"),
    "rows of lists": (b'{"rows": [[1]]}', 422, "no rows"),
    "ragged data": (b'{"dataframe_split": {"columns": ["x"], "data": [[1, 2]]}}', 422, "no rows"),
    "a column twice": (b'{"dataframe_split": {"columns": ["x", "x"], "data": [[1, 2]]}}', 422, "no rows"),
    "a text": (b'{"rows": [{"x": "1"}]}', 422, "1 values do not fit"),
    "too many rows": (json.dumps({"rows": [{"x": 1}] * 1001}).encode(), 413, "at most 1000"),
    "too many bytes": (b" " * (9 << 20), 413, "over 8 MiB"),
    "what the model refuses": (b'{"rows": [{"x": 13}]}', 422, "bad luck"),
    "a fault of the model": (b'{"rows": [{"x": 99}]}', 500, "the model failed"),
}


@pytest.mark.bad_input
@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_request_is_refused_with_its_reason(case, capsys):
    content, status, message = REFUSED[case]
    answer = client().post("/predict", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text
    assert TOKEN not in answer.text


@pytest.mark.bad_input
def test_a_wrong_value_is_named_with_row_column_and_what_was_expected():
    answer = client().post("/predict", json={"rows": [{"x": 1}, {"x": None}]})
    expected = {"row": 1, "column": "x", "value": "null", "expected": "a finite number"}
    assert answer.json() == {"error": "1 values do not fit the model", "count": 1, "values": [expected]}


@pytest.mark.bad_input
def test_samples_are_limited():
    for body, status in (({"count": 0}, 422), ({"count": True}, 422), ({"count": 2.5}, 422), ({"count": 9}, 413)):
        assert client(limits=Limits(rows=8)).post("/generate", json=body).status_code == status
    assert client().post("/generate", json={"count": 1, "seed": -1}).status_code == 422


@pytest.mark.security
def test_a_body_of_another_type_or_for_another_host_is_refused():
    text = client().post("/predict", content=b'{"rows": [{"x": 1}]}', headers={"Content-Type": "text/plain"})
    assert text.status_code == 415
    assert client(hosts=("localhost",)).get("/health").status_code == 400


@pytest.mark.security
def test_a_token_is_needed_for_all_but_health(capsys):
    guarded = client(token=TOKEN)
    assert guarded.get("/health").status_code == 200
    for header in ({}, {"Authorization": "Bearer "}, {"Authorization": f"Bearer {TOKEN}x"}, {"Authorization": TOKEN}):
        assert guarded.get("/schema", headers=header).status_code == 401
        answer = guarded.post("/predict", json={"rows": [{"x": 1}]}, headers=header)
        assert (answer.status_code, TOKEN in answer.text) == (401, False)
    sent = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.post("/predict", json={"rows": [{"x": 1}]}, headers=sent).status_code == 200
    assert TOKEN not in "".join(capsys.readouterr())


@pytest.mark.security
def test_others_reach_a_model_by_a_token_alone(tmp_path):
    with pytest.raises(WrongRecipe, match=r"0\.0\.0\.0: others reach it; set a token"):
        rest.listening("0.0.0.0", 0, None)
    for host, token in (("0.0.0.0", TOKEN), ("127.0.0.1", None), ("localhost", None)):
        rest.listening(host, 0, token).close()
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    assert rest.token_of({rest.TOKEN: "other"}, file) == rest.token_of({rest.TOKEN: TOKEN}, None) == TOKEN
    assert rest.token_of({}, None) is None
    for empty in ("", " ", "two words", "\u00e9"):
        with pytest.raises(WrongRecipe, match="has no token"):
            rest.token_of({rest.TOKEN: empty}, None)
    with pytest.raises(WrongRecipe, match="cannot be read"):
        rest.token_of({}, tmp_path / "none")


def test_the_body_of_an_answer_does_not_wait_for_its_head_to_be_acknowledged():
    with rest.listening("127.0.0.1", 0, None) as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.bad_input
def test_a_port_in_use_is_refused():
    with rest.listening("127.0.0.1", 0, None) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(BadEnvironment, match="cannot be used"):
            rest.listening("127.0.0.1", port, None)
