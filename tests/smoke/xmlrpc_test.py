"""Our XML-RPC codec and Python's own: each reads what the other wrote."""
import datetime
import os
import subprocess
import sys
import unittest
import xmlrpc.client

import tap

ECHO = os.environ["XMLRPC_ECHO"]


class Pipe(xmlrpc.client.Transport):
    """A server that is a program: the body goes in, the answer comes out."""

    def request(self, host, handler, request_body, verbose=False):
        done = subprocess.run([ECHO], input=request_body, capture_output=True, check=True, timeout=30)
        parser, unmarshaller = self.getparser()
        parser.feed(done.stdout)
        parser.close()
        return unmarshaller.close()


class XmlRpc(unittest.TestCase):
    def server(self, **options):
        return xmlrpc.client.ServerProxy("http://pipe/RPC2", transport=Pipe(use_builtin_types=True), allow_none=True, **options)

    def test_every_value_comes_back_as_it_went(self):
        values = [0, -1, 2**31 - 1, -2**31, True, False, "", " a\n\tb ", "<&>]]>\"'", "ärger €  \U0001f600", 1.5, -0.25, 1e100,
                  b"", b"\x00\xff" * 100, datetime.datetime(2026, 11, 28, 22, 0, 1), [], {}, None, [[1, [2, []]], {"a": {"b": []}}],
                  {"": 1, "@attributes": {"uuid": "x"}, "0": "gap", "2": "gap"}]
        self.assertEqual(self.server().echo(*values), values)

    def test_latin1(self):
        self.assertEqual(self.server(encoding="iso-8859-1").echo("äöü\xa0ÿ"), ["äöü\xa0ÿ"])

    def test_a_fault_is_a_fault(self):
        with self.assertRaises(xmlrpc.client.Fault) as raised:
            self.server().fault()
        self.assertEqual((raised.exception.faultCode, raised.exception.faultString), (120, "carp.vhid: is <missing> & wanted"))

    def test_64_bits_are_read_as_i8(self):
        body = "<methodCall><methodName>a</methodName><params><param><value><i8>-1099511627776</i8></value></param></params></methodCall>"
        self.assertEqual(Pipe().request("", "", body.encode()), ([-2**40],))

    def test_nonsense_is_a_fault(self):
        for body in (b"", b"\xff\xfe", b"<methodCall>", b"<!DOCTYPE a><methodCall/>"):
            with self.assertRaises(xmlrpc.client.Fault) as raised:
                Pipe().request("", "", body)
            self.assertEqual(raised.exception.faultCode, -32700)


if __name__ == "__main__":
    sys.exit(tap.main())
