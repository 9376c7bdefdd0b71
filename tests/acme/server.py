"""An ACME server for tests: acme2certifier, over TLS, with a root of its own.

usage: server.py FOLDER

Whatever it decides is acme2certifier's own: signatures, nonces, challenges (asked for over real connections), certificates. Ours is
where names lead: every name below `test` is this machine, and ports 80 and 443 are those of FOLDER/ports.json, which may come and
change at any time. FOLDER also holds

  root.pem       vouches for the server itself and for what it signs
  validity.json  [seconds ago, seconds from now] between which the next certificates are good; ninety days if it is missing
  orders.log     one line for each order that was asked for: its names
  LISTEN         printed to standard output, then the directory's address
"""

import datetime
import ipaddress
import json
import os
import pathlib
import socket
import ssl
import sys
import time

import dns.resolver
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from werkzeug.serving import WSGIRequestHandler, make_server

DAY = 86_400
# A gateway's ports are known only after it has begun to order.
PATIENCE = 15

folder = pathlib.Path(sys.argv[1]).resolve()


def write_key(path, key):
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


def certificate(name, key, issuer=None, issuer_key=None, extensions=()):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Some days back: certificates may be made to begin before they were ordered.
        .not_valid_before(now - datetime.timedelta(days=365))
        .not_valid_after(now + datetime.timedelta(days=3650))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key or key, hashes.SHA256())


def make_authority():
    root_key, own_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    root = certificate(
        "Test root",
        root_key,
        extensions=[(x509.BasicConstraints(True, None), True), (usage, True), (identifier, False)],
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")])
    constraints = x509.BasicConstraints(False, None)
    own = certificate("ACME server", own_key, root, root_key, [(names, False), (constraints, True)])
    now = datetime.datetime.now(datetime.timezone.utc)
    crl = x509.CertificateRevocationListBuilder().issuer_name(root.subject).last_update(now)
    crl = crl.next_update(now + datetime.timedelta(days=30)).sign(root_key, hashes.SHA256())
    (folder / "root.crl").write_bytes(crl.public_bytes(serialization.Encoding.PEM))
    write_key(folder / "root.key", root_key)
    write_key(folder / "own.key", own_key)
    (folder / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (folder / "own.pem").write_bytes(own.public_bytes(serialization.Encoding.PEM))


def read_json(name):
    try:
        return json.loads((folder / name).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def lead_names_here():
    """`*.test` is this machine, and nothing else is anywhere."""

    def resolve(_self, name, kind="A", *_args, **_kwargs):
        if not str(name).rstrip(".").endswith(".test"):
            raise dns.resolver.NXDOMAIN()
        if kind != "A":
            raise dns.resolver.NoAnswer()
        return ["127.0.0.1"]

    dns.resolver.Resolver.resolve = resolve


def lead_ports_there():
    """Connections to ports 80 and 443 go to those of the gateway that is tested."""
    connect = socket.socket.connect

    def connect_there(self, address):
        if isinstance(address, tuple) and address[1] in (80, 443):
            until = time.monotonic() + PATIENCE
            while (ports := read_json("ports.json")) is None and time.monotonic() < until:
                time.sleep(0.02)
            port = (ports or {}).get(str(address[1]))
            if port is None:
                raise ConnectionRefusedError(f"nothing listens on {address[1]}")
            address = (address[0], port, *address[2:])
        return connect(self, address)

    socket.socket.connect = connect_there


def choose_times():
    """Certificates are good when the test says so."""
    before, after = x509.CertificateBuilder.not_valid_before, x509.CertificateBuilder.not_valid_after

    def at(index):
        seconds = (read_json("validity.json") or [60, 90 * DAY])[index]
        seconds = -seconds if index == 0 else seconds
        return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)

    x509.CertificateBuilder.not_valid_before = lambda self, _time: before(self, at(0))
    x509.CertificateBuilder.not_valid_after = lambda self, _time: after(self, at(1))


def mark_names():
    """Names are critical where the subject is empty (RFC 5280 §4.2.1.6): acme2certifier forgets, and Chromium insists."""
    add = x509.CertificateBuilder.add_extension

    def add_marked(self, extension, critical):
        return add(self, extension, critical or isinstance(extension, x509.SubjectAlternativeName))

    x509.CertificateBuilder.add_extension = add_marked


def note_orders():
    from acme2certifier.acme_srv.order import Order

    new = Order.new

    def noted(self, content):
        answer = new(self, content)
        names = [name.get("value", "?") for name in (answer.get("data") or {}).get("identifiers") or []]
        with (folder / "orders.log").open("a") as log:
            log.write(" ".join(names) + "\n")
        return answer

    Order.new = noted


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_request(self, code="-", size="-"):
        print(self.requestline, code, file=sys.stderr, flush=True)


def main():
    os.umask(0o077)
    make_authority()
    (folder / "saved").mkdir(exist_ok=True)
    (folder / "acme_srv.cfg").write_text(
        f"""[DEFAULT]
debug: False
[CAhandler]
handler_module: acme2certifier.cahandlers.openssl_ca_handler
issuing_ca_key: {folder}/root.key
issuing_ca_cert: {folder}/root.pem
issuing_ca_crl: {folder}/root.crl
cert_save_path: {folder}/saved
cert_validity_days: 90
[DBhandler]
handler: wsgi
handler_module: acme2certifier.dbhandlers.wsgi_handler
dbfile: {folder}/acme.db
[Challenge]
dns_01_support: False
[Order]
retry_after_timeout: 1
"""
    )
    os.environ["ACME_SRV_CONFIGFILE"] = str(folder / "acme_srv.cfg")
    lead_names_here()
    choose_times()
    mark_names()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(folder / "own.pem", folder / "own.key")
    # Imported late: it reads its settings at once.
    from acme2certifier.share.acme2certifier_wsgi import application

    note_orders()
    lead_ports_there()
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet, ssl_context=tls)
    print(f"LISTEN https://127.0.0.1:{server.server_port}/directory", flush=True)
    server.serve_forever()


main()
