"""The tracking server is reached wherever MLflow's own client reaches it, by MLflow's and requests' settings."""

import ssl
from datetime import datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from millstream.tracking.errors import BadEnvironment
from millstream.tracking.runs.mlflow_store import open_store
from millstream.tracking.settings import Settings
from tests.tracking.front import PASSWORD, USER, Front
from tests.tracking.server import Server

pytestmark = pytest.mark.security


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A file with the key and the certificate of 127.0.0.1, signed by itself: an authority of one's own."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")]), datetime(2020, 1, 1)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now)
    made = made.not_valid_after(now + timedelta(days=100_000))
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    file = tmp_path_factory.mktemp("tls") / "pair.pem"
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + made.sign(key, hashes.SHA256()).public_bytes(pem))
    return file


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def fronts(server, certificate):
    """Plain, over TLS, and over TLS for those alone who bring a certificate."""
    tls, both = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    for context in (tls, both):
        context.load_cert_chain(certificate)
    both.verify_mode = ssl.CERT_REQUIRED
    both.load_verify_locations(certificate)
    running = {"http": Front(server.uri), "https": Front(server.uri, tls), "client": Front(server.uri, both)}
    yield running
    for one in running.values():
        one.stop()


def reached(tmp_path, monkeypatch, uri, **environment):
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    settings = Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home"), "MLFLOW_TRACKING_URI": uri})
    return open_store(settings).get_experiment_by_name("Default").experiment_id


TRUST = ("MLFLOW_TRACKING_SERVER_CERT_PATH", "REQUESTS_CA_BUNDLE")


@pytest.mark.parametrize("name", TRUST)
def test_an_authority_of_ones_own_is_trusted(tmp_path, monkeypatch, fronts, certificate, name):
    uri = fronts["https"].uri.replace("http:", "https:")
    assert reached(tmp_path, monkeypatch, uri, **{name: certificate}) == "0"


def test_a_certificate_is_not_checked_where_that_is_configured(tmp_path, monkeypatch, fronts):
    uri = fronts["https"].uri.replace("http:", "https:")
    assert reached(tmp_path, monkeypatch, uri, MLFLOW_TRACKING_INSECURE_TLS="true") == "0"


def test_a_certificate_that_is_not_trusted_is_reported_with_what_to_set(tmp_path, monkeypatch, fronts):
    uri = fronts["https"].uri.replace("http:", "https:")
    with pytest.raises(BadEnvironment, match="MLFLOW_TRACKING_SERVER_CERT_PATH") as refused:
        reached(tmp_path, monkeypatch, uri)
    assert PASSWORD not in str(refused.value)


def test_a_client_brings_its_certificate(tmp_path, monkeypatch, fronts, certificate):
    uri = fronts["client"].uri.replace("http:", "https:")
    mine = {"MLFLOW_TRACKING_SERVER_CERT_PATH": certificate, "MLFLOW_TRACKING_CLIENT_CERT_PATH": certificate}
    assert reached(tmp_path, monkeypatch, uri, **mine) == "0"
    monkeypatch.delenv("MLFLOW_TRACKING_CLIENT_CERT_PATH")
    with pytest.raises(BadEnvironment):
        reached(tmp_path, monkeypatch, uri, MLFLOW_TRACKING_SERVER_CERT_PATH=certificate)


def test_user_and_password_stand_in_the_address_or_in_the_environment(tmp_path, monkeypatch, fronts):
    front = fronts["http"]
    assert reached(tmp_path, monkeypatch, front.uri) == "0"
    bare = f"http://127.0.0.1:{front.port}"
    mine = {"MLFLOW_TRACKING_USERNAME": USER, "MLFLOW_TRACKING_PASSWORD": PASSWORD}
    assert reached(tmp_path, monkeypatch, bare, **mine) == "0"
    with pytest.raises(BadEnvironment, match="MLFLOW_TRACKING_TOKEN") as refused:
        reached(tmp_path, monkeypatch, bare, MLFLOW_TRACKING_PASSWORD="wr0ng-s3cret")
    assert "wr0ng-s3cret" not in str(refused.value)


def test_a_network_of_no_proxy_is_called_directly_and_a_proxy_for_the_rest(tmp_path, monkeypatch, fronts):
    dead = {"http_proxy": "http://u:pr0xy-s3cret@127.0.0.1:9"}
    assert reached(tmp_path, monkeypatch, fronts["http"].uri, no_proxy="127.0.0.0/8", **dead) == "0"
    with pytest.raises(BadEnvironment) as refused:
        reached(tmp_path, monkeypatch, fronts["http"].uri, **dead)
    assert "pr0xy-s3cret" not in str(refused.value)
