import datetime
import gzip
import hashlib
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from millstream.pipelines.publish.stores import reach
from millstream.pipelines.readers import origin_files
from millstream.pipelines.readers.origin_files import content_hash, locate, locate_all, record
from millstream.pipelines.sources.images import Images
from millstream.pipelines.table import OriginFile
from millstream.tracking.dataset.filesystems import Remote
from millstream.tracking.errors import BadData
from millstream.tracking.settings import Settings

pytestmark = [pytest.mark.security, pytest.mark.bad_input]


@pytest.fixture
def mirrored(tmp_path):
    (tmp_path / "mirror" / "set").mkdir(parents=True)
    (tmp_path / "mirror" / "set" / "a.txt").write_bytes(b"abc")
    return Settings.read({"MILLSTREAM_HOME": str(tmp_path / "home"), "MILLSTREAM_MIRROR": str(tmp_path / "mirror")})


def test_a_file_of_the_mirror_is_taken_when_its_hash_is_right(mirrored):
    right = hashlib.sha256(b"abc").hexdigest()
    assert locate(OriginFile("set/a.txt", None, right), mirrored).read_bytes() == b"abc"


def test_a_file_with_another_hash_is_refused_with_both(mirrored):
    with pytest.raises(BadData, match="expected 0000"):
        locate(OriginFile("set/a.txt", None, "0000"), mirrored)


def test_two_archives_of_one_content_have_one_hash(tmp_path):
    for level in (1, 9):
        (tmp_path / f"{level}.gz").write_bytes(gzip.compress(b"abc" * 100, level))
    assert (
        content_hash(tmp_path / "1.gz") == content_hash(tmp_path / "9.gz") == hashlib.sha256(b"abc" * 100).hexdigest()
    )


def test_an_archive_that_unfolds_beyond_all_measure_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(origin_files, "LARGE_BYTES", 1 << 20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(1 << 23)))
    with pytest.raises(BadData, match=r"bomb\.gz: unfolds to more than 200 times its size"):
        content_hash(tmp_path / "bomb.gz")


def test_a_name_cannot_lead_out_of_the_mirror(mirrored):
    with pytest.raises(BadData, match=r"without \.\."):
        locate(OriginFile("../secret"), mirrored)


def test_a_missing_file_is_refused_with_the_places_and_the_setting(mirrored):
    with pytest.raises(BadData, match="MILLSTREAM_MIRROR"):
        locate(OriginFile("set/b.txt"), mirrored)


def test_a_folder_is_refused_with_what_would_do(mirrored, s3, tmp_path):
    message = "is a folder; expected a file"
    with pytest.raises(BadData, match=f"set: {message}"):
        locate(OriginFile("set"), mirrored)
    s3.put(f"{tmp_path.name}/rows/part-0", b"a")
    with pytest.raises(BadData, match=f"rows: {message}"):
        locate(OriginFile(f"s3://bucket/{tmp_path.name}/rows"), mirrored)
    assert not [path for path in mirrored.downloads.rglob("*") if path.is_file()]


@pytest.mark.spark
def test_a_folder_on_a_hadoop_file_system_is_refused_and_not_copied(spark, mirrored, tmp_path):
    configuration = spark.sparkContext._jsc.hadoopConfiguration()
    configuration.set("fs.viewfs.mounttable.folders.link./mirror", (tmp_path / "mirror").as_uri())
    reach(Remote("viewfs://folders/mirror"), lambda: spark)
    assert locate(OriginFile("viewfs://folders/mirror/set/a.txt"), mirrored).read_bytes() == b"abc"
    with pytest.raises(BadData, match="mirror/set: is a folder"):
        locate(OriginFile("viewfs://folders/mirror/set"), mirrored)
    left = {path.name for path in (mirrored.downloads / "viewfs").rglob("*")}
    assert left == {"folders", "mirror", "set", "a.txt", ".a.txt.state"}


def test_only_https_is_fetched(mirrored):
    for url in ("http://example.org/b", "file:///etc/passwd", "ftp://example.org/b"):
        with pytest.raises(BadData, match="not https"):
            locate(OriginFile("set/b.txt", url, "00"), mirrored)


def test_nothing_is_fetched_without_a_hash(mirrored):
    with pytest.raises(BadData, match="not found"):
        locate(OriginFile("set/b.txt", "https://example.org/b", None), mirrored)


@pytest.fixture
def remote(s3, tmp_path):
    """The URL of a file on S3."""
    s3.put(f"{tmp_path.name}/people.csv", b"age\n1\n")
    return f"s3://bucket/{tmp_path.name}/people.csv"


def test_a_file_behind_a_url_is_copied_and_again_when_it_changed(remote, mirrored, s3, tmp_path):
    first = locate(OriginFile(remote), mirrored)
    assert (first.name, first.read_bytes()) == ("people.csv", b"age\n1\n")
    before = first.stat().st_mtime_ns
    assert locate(OriginFile(remote), mirrored).stat().st_mtime_ns == before
    s3.put(f"{tmp_path.name}/people.csv", b"age\n2\n")
    found = locate(OriginFile(remote), mirrored)
    assert found.read_bytes() == b"age\n2\n"
    assert record(OriginFile(remote), found).sha256 == hashlib.sha256(b"age\n2\n").hexdigest()


def test_a_file_behind_a_url_with_another_hash_is_refused_and_not_kept(remote, mirrored):
    with pytest.raises(BadData, match="expected 0000"):
        locate(OriginFile(remote, None, "0000"), mirrored)
    assert [path for path in mirrored.downloads.rglob("*") if path.is_file()] == []


def test_a_url_without_a_file_is_refused(remote, mirrored):
    with pytest.raises(BadData, match="is not there"):
        locate(OriginFile(f"{remote}.gz"), mirrored)


def test_a_url_cannot_lead_out_of_the_downloads(mirrored):
    with pytest.raises(BadData, match=r"without \.\."):
        locate(OriginFile("s3://bucket/../../secret"), mirrored)


def test_images_that_a_table_on_s3_names_are_not_copied_with_it(s3, mirrored, tmp_path):
    folder = f"s3://bucket/{tmp_path.name}"
    s3.put(f"{tmp_path.name}/index.csv", b"id\na\nb\n")
    s3.put(f"{tmp_path.name}/images/a.png", b"an image")
    table = {"name": f"{folder}/index.csv", "image": "images/{id}.png"}
    found = locate_all(Images(table=table, height=2, width=2), mirrored)
    assert {file.name for file in found} == {f"{folder}/index.csv"}
    assert not [path for path in mirrored.downloads.rglob("*") if path.suffix == ".png"]


CONTENT = b"abc" * 1000
RIGHT = hashlib.sha256(CONTENT).hexdigest()


class Answers(BaseHTTPRequestHandler):
    """A real server with what may go wrong at one."""

    def do_GET(self):
        kind = self.path.partition("?")[0].strip("/")
        if kind == "away":
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.1:9/b")
            self.end_headers()
        elif kind == "on":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
        elif kind in ("whole", "cut"):
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT if kind == "whole" else CONTENT[:-5])
        else:
            self.send_error(404)

    def log_message(self, *words):
        pass


def vouched():
    """A key for 127.0.0.1 and the certificate that it signed itself."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    made = made.add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key.private_bytes(*plain) + made.sign(key, SHA256()).public_bytes(Encoding.PEM)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """https://127.0.0.1:PORT, and the file with the certificate by which it is known."""
    folder = tmp_path_factory.mktemp("server")
    certificate = folder / "certificate.pem"
    certificate.write_bytes(vouched())
    running = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    running.socket = context.wrap_socket(running.socket, server_side=True)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"https://127.0.0.1:{running.server_port}", certificate
    running.shutdown()
    running.server_close()


def fetched(server, settings, monkeypatch, kind, sha256=RIGHT):
    address, certificate = server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return locate(OriginFile("set/b.txt", f"{address}/{kind}", sha256), settings)


@pytest.mark.parametrize("kind", ["whole", "on"])
def test_a_file_is_fetched_once_and_kept_when_its_hash_is_right(server, mirrored, monkeypatch, kind):
    path = fetched(server, mirrored, monkeypatch, kind)
    assert path.read_bytes() == CONTENT
    assert locate(OriginFile("set/b.txt", "https://127.0.0.1:9/gone", RIGHT), mirrored) == path
    assert [one.name for one in mirrored.downloads.rglob("*") if one.is_file()] == ["b.txt"]


@pytest.mark.parametrize(
    ("kind", "sha256", "expected"),
    [
        ("whole", "0" * 64, "expected 0000"),
        ("cut", RIGHT, f"expected {RIGHT}"),
        ("away", RIGHT, "a redirect to another scheme is not followed"),
        ("gone", RIGHT, "404.*MILLSTREAM_MIRROR"),
    ],
)
def test_a_download_that_is_not_what_was_declared_leaves_nothing(server, mirrored, monkeypatch, kind, sha256, expected):
    with pytest.raises(BadData, match=expected):
        fetched(server, mirrored, monkeypatch, kind, sha256)
    assert not [one for one in mirrored.downloads.rglob("*") if one.is_file()]


def test_a_server_that_nobody_vouches_for_is_not_believed(server, mirrored, monkeypatch):
    with pytest.raises(BadData, match=r"cannot be fetched.*certificate"):
        fetched((server[0], "/dev/null"), mirrored, monkeypatch, "whole")
