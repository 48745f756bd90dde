# Copyright 2026 llavaseg_ros developers
# SPDX-License-Identifier: Apache-2.0
"""A keystore of SROS 2 for tests, made with the `openssl` command; on a robot, `ros2 security` makes one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape

from policy import dds_topics

OPENSSL = shutil.which("openssl")
_DAYS = "30"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<dds xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"\n'
_SCHEMA = '  xsi:noNamespaceSchemaLocation="http://www.omg.org/spec/DDS-SECURITY/20170901/omg_shared_ca_{}.xsd">\n'


class Keystore:
    """One authority, and an enclave for each call of `add`. folder: for ROS_SECURITY_KEYSTORE."""

    def __init__(self, folder: Path, domain: int) -> None:
        self.folder, self.domain = folder, domain
        self._private = folder / "private"
        self._private.mkdir(parents=True)
        self._key, self._certificate = self._private / "ca.key.pem", folder / "ca.cert.pem"
        self._new_key(self._key)
        self._run("req", "-x509", "-new", "-key", self._key, "-subj", "/CN=test authority", "-out", self._certificate)
        self._governance = self._sign(folder / "governance.xml", _governance(domain))

    def add(self, path: str, allowed: frozenset[tuple[str, str]]) -> None:
        """An enclave that may do what is allowed, as (verb, full name) of ROS."""
        folder = self.folder / "enclaves" / path.strip("/")
        folder.mkdir(parents=True)
        key, request = folder / "key.pem", self._private / "request.pem"
        self._new_key(key)
        self._run("req", "-new", "-key", key, "-subj", "/CN=" + path.replace("/", "\\/"), "-out", request)
        made = ("-CA", self._certificate, "-CAkey", self._key, "-CAcreateserial", "-days", _DAYS)
        self._run("x509", "-req", "-in", request, *made, "-out", folder / "cert.pem")
        for name in ("identity_ca.cert.pem", "permissions_ca.cert.pem"):
            shutil.copy(self._certificate, folder / name)
        shutil.copy(self._governance, folder / "governance.p7s")
        self._sign(folder / "permissions.xml", _permissions(path, self.domain, allowed))

    def _sign(self, path: Path, text: str) -> Path:
        path.write_text(text, encoding="utf-8")
        signed = path.with_suffix(".p7s")
        by = ("-signer", self._certificate, "-inkey", self._key)
        self._run("smime", "-sign", "-text", "-in", path, *by, "-out", signed)
        return signed

    def _new_key(self, path: Path) -> None:
        self._run("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", path)

    @staticmethod
    def _run(*arguments: str | Path) -> None:
        assert OPENSSL is not None
        done = subprocess.run([OPENSSL, *map(str, arguments)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def _governance(domain: int) -> str:
    """Everybody shows who they are, everything is encrypted, every topic is looked up in the permissions."""
    protected = "".join(
        f"<{name}>true</{name}>"
        for name in (
            "enable_discovery_protection",
            "enable_liveliness_protection",
            "enable_read_access_control",
            "enable_write_access_control",
        )
    )
    return (
        f"{_HEAD}{_SCHEMA.format('governance')}<domain_access_rules><domain_rule>\n"
        f"<domains><id>{domain}</id></domains>\n"
        "<allow_unauthenticated_participants>false</allow_unauthenticated_participants>\n"
        "<enable_join_access_control>true</enable_join_access_control>\n"
        "<discovery_protection_kind>ENCRYPT</discovery_protection_kind>\n"
        "<liveliness_protection_kind>ENCRYPT</liveliness_protection_kind>\n"
        "<rtps_protection_kind>SIGN</rtps_protection_kind>\n"
        f"<topic_access_rules><topic_rule><topic_expression>*</topic_expression>{protected}\n"
        "<metadata_protection_kind>ENCRYPT</metadata_protection_kind>\n"
        "<data_protection_kind>ENCRYPT</data_protection_kind>\n"
        "</topic_rule></topic_access_rules></domain_rule></domain_access_rules></dds>\n"
    )


def _permissions(path: str, domain: int, allowed: frozenset[tuple[str, str]]) -> str:
    sides = "".join(
        f"<{side}><topics>" + "".join(f"<topic>{escape(name)}</topic>" for name in names) + f"</topics></{side}>\n"
        for side, names in dds_topics(allowed).items()
    )
    return (
        f'{_HEAD}{_SCHEMA.format("permissions")}<permissions><grant name="{path}">\n'
        f"<subject_name>CN={path}</subject_name>\n"
        "<validity><not_before>2020-01-01T00:00:00</not_before><not_after>2100-01-01T00:00:00</not_after></validity>\n"
        f"<allow_rule><domains><id>{domain}</id></domains>\n{sides}</allow_rule>\n"
        "<default>DENY</default></grant></permissions></dds>\n"
    )
