"""Firewalls that push their configuration to a pfsyncd, on loopback, as their own libraries do it."""
import base64
import http.client
import json
import socket
import ssl
import sys
import threading
import xmlrpc.client

import tap

from config_nodes import CARP
from config_sync_test import Alone, PATIENCE_S, PFSYNCCTL, run

VERSION_CHECK = ('<?xml version="1.0" encoding="utf-8"?>\n<methodCall><methodName>pfsense.host_firmware_version</methodName><params>'
                 '<param><value><string></string></value></param><param><value><int>240</int></value></param></params></methodCall>')
PUSH = ('<?xml version="1.0" encoding="utf-8"?>\n<methodCall><methodName>pfsense.restore_config_section</methodName><params><param><value><struct>'
        '<member><name>virtualip</name><value><struct><member><name>vip</name><value><array><data><value><struct>'
        '<member><name>mode</name><value><string>carp</string></value></member>'
        '<member><name>interface</name><value><string>wan</string></value></member>'
        '<member><name>vhid</name><value><string>1</string></value></member>'
        '<member><name>advskew</name><value><int>100</int></value></member>'
        '<member><name>advbase</name><value><int>1</int></value></member>'
        '<member><name>password</name><value><string>a&amp;b&lt;c</string></value></member>'
        '<member><name>uniqid</name><value><string>6602c2b1a3f10</string></value></member>'
        '<member><name>descr</name><value><string>WAN VIP</string></value></member>'
        '<member><name>type</name><value><string>single</string></value></member>'
        '<member><name>subnet_bits</name><value><string>24</string></value></member>'
        '<member><name>subnet</name><value><string>192.168.1.100</string></value></member>'
        '</struct></value></data></array></value></member></struct></value></member>'
        '<member><name>aliases</name><value><struct><member><name>alias</name><value><array><data></data></array></value></member></struct></value></member>'
        '<member><name>system</name><value><struct><member><name>nextuid</name><value><string>2000</string></value></member></struct></value></member>'
        '</struct></value></param><param><value><int>900</int></value></param></params></methodCall>')
OPNSENSE_VERSION = '<?xml version="1.0"?>\n<methodCall>\n<methodName>opnsense.firmware_version</methodName>\n<params>\n</params></methodCall>\n'


class Firewalls(Alone):
    PASSWORD = "p:ss/w@rd% ä"

    def setUp(self):
        super().setUp()
        self.port = tap.free_port()
        users = self.folder / "stateN" / "users"
        users.parent.mkdir()
        run(PFSYNCCTL, "user", "--file", users, "add", "hasync", input=self.PASSWORD + "\n")
        self.secondary = self.node('[config_sync]\ninterface_map = { wan = "net_null0" }\n[config_sync.compat]\n'
                                   f'listen = "127.0.0.1:{self.port}"\nuser = "hasync"\nconfig_version = "24.0"\nbody_mib = 1\n')

    def post(self, body, password=PASSWORD, user="hasync", source="127.0.0.1"):
        context = ssl._create_unverified_context()  # as both products do by default
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=60, source_address=(source, 0))
        credentials = base64.b64encode(f"{user}:{password}".encode()).decode()
        connection.request("POST", "/xmlrpc.php", body.encode() if isinstance(body, str) else body,
                           {"Content-Type": "text/xml; charset=utf-8", "User-Agent": "PEAR::XML_RPC2/1", "Authorization": "Basic " + credentials})
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        return xmlrpc.client.loads(response.read())[0][0]

    def call(self, method, *params):
        return self.post(xmlrpc.client.dumps(params, method))

    def credentials(self, password=PASSWORD):
        return base64.b64encode(f"hasync:{password}".encode()).decode()

    def as_pfsense(self, body, password=PASSWORD):
        """As its library sends it: a body of more than 1024 bytes only once 100 Continue has come, and any other answer is the last."""
        body = body.encode()
        head = (f"POST /xmlrpc.php HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n"
                f"Authorization: Basic {self.credentials(password)}\r\nAccept-Encoding: gzip, deflate\r\n"
                "Content-Type: text/xml; charset=utf-8\r\nUser-Agent: PEAR::XML_RPC2/1.1.5-dev\r\n"
                f"Content-Length: {len(body)}\r\n")
        waits = len(body) > 1024
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as plain, \
                ssl._create_unverified_context().wrap_socket(plain) as connection, connection.makefile("rb") as answers:
            connection.sendall(head.encode() + (b"Expect: 100-continue\r\n" if waits else b"") + b"\r\n" + (b"" if waits else body))
            if waits:
                first = answers.readline()
                if first.startswith(b"HTTP/1.1 100 "):
                    self.assertEqual(answers.readline(), b"\r\n")
                    connection.sendall(body)
                    first = answers.readline()
            else:
                first = answers.readline()
            rest = answers.read()
        self.assertTrue(first.startswith(b"HTTP/1.1 200 "), first + rest)
        return xmlrpc.client.loads(rest.split(b"\r\n\r\n", 1)[1])[0][0]

    def test_a_push_as_pfsenses_library_sends_it(self):
        self.assertGreater(len(PUSH), 1024)
        self.assertEqual(self.as_pfsense(VERSION_CHECK)["config_version"], "24.0")
        self.assertIs(self.as_pfsense(PUSH), True)
        self.assertEqual(set(self.secondary.hosts()), {1})
        with self.assertRaises(xmlrpc.client.Fault) as raised:
            self.as_pfsense(PUSH, password="wrong")
        self.assertEqual(raised.exception.faultString, "Authentication failed: Invalid username or password")

    def test_what_is_larger_than_the_limit_is_refused(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=ssl._create_unverified_context(), timeout=60)
        self.addCleanup(connection.close)
        connection.putrequest("POST", "/xmlrpc.php")
        for name, value in (("Content-Length", (1 << 20) + 1), ("Expect", "100-continue"), ("Authorization", "Basic " + self.credentials())):
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        self.assertEqual(response.status, 413)
        self.assertIn(b"larger than 1048576 bytes", response.read())

    def test_a_push_in_chunks(self):
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=ssl._create_unverified_context(), timeout=60)
        self.addCleanup(connection.close)
        body = PUSH.encode()
        connection.request("POST", "/xmlrpc.php", (body[at:at + 700] for at in range(0, len(body), 700)), encode_chunked=True,
                           headers={"Content-Type": "text/xml", "Transfer-Encoding": "chunked", "Authorization": "Basic " + self.credentials()})
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        self.assertIs(xmlrpc.client.loads(response.read())[0][0], True)
        self.assertEqual(set(self.secondary.hosts()), {1})

    def test_a_pfsense_pushes_its_virtual_addresses(self):
        version = self.post(VERSION_CHECK)
        self.assertEqual((version["config_version"], version["platform"]), ("24.0", "pfSense"))
        self.assertIs(self.post(PUSH), True)
        host = self.secondary.hosts()[1]
        self.assertEqual((host["advskew"], host["advbase"], host["addresses"]), (100, 1, ["192.168.1.100/24"]))
        compat = self.secondary.sync()["compat"]
        self.assertEqual(compat["received_but_not_applied"], ["aliases", "system"])
        self.assertIn("received but not applied: aliases, system", self.secondary.ctl("show", "config_sync").stdout)
        generation = compat["in_force"]["generation"]
        self.assertIs(self.post(PUSH), True)
        self.assertEqual(self.secondary.sync()["compat"]["in_force"]["generation"], generation, "what is the same is not applied again")
        with self.assertRaises(xmlrpc.client.Fault) as raised:
            self.post(PUSH.replace(">wan<", ">opt3<"))
        self.assertEqual(raised.exception.faultCode, 120)
        self.assertIn("interface opt3 has no mapping on this node", raised.exception.faultString)
        self.assertEqual(set(self.secondary.hosts()), {1})
        self.secondary.kill()
        self.secondary.come_up()
        self.assertEqual(set(self.secondary.hosts()), {1}, "a start finds what was pushed")
        self.assertIs(self.call("pfsense.restore_config_section", {"virtualip": []}, 900), True)
        self.assertEqual(self.secondary.hosts(), {})
        # Each change is in the audit log, once, and so is what could not be one.
        lines = [json.loads(line) for line in (self.folder / "stateN" / "audit.log").read_text().splitlines()]
        self.assertEqual([(line["address"], line["user"], line["action"], line["ok"]) for line in lines],
                         [("127.0.0.1", "hasync", "config_sync", ok) for ok in (True, False, True)])
        self.assertIn("interface opt3 has no mapping", lines[1]["error"])

    def test_an_opnsense_pushes_its_virtual_addresses(self):
        self.assertIn("base", self.post(OPNSENSE_VERSION))
        common = {"@attributes": {"uuid": "6f3c"}, "interface": "wan", "subnet_bits": "24", "vhid": "7", "descr": ""}
        carp = {**common, "mode": "carp", "subnet": "192.168.1.107", "password": "x", "advbase": "1", "advskew": 150}
        alias = {**common, "mode": "ipalias", "subnet": "192.168.1.108"}
        self.assertIs(self.call("opnsense.restore_config_section", {"virtualip": {"vip": [carp, alias]}, "OPNsense": {"Kea": []}}), True)
        self.assertIs(self.call("opnsense.filter_configure"), True)
        host = self.secondary.hosts()[7]
        self.assertEqual((host["advskew"], host["addresses"]), (150, ["192.168.1.107/24", "192.168.1.108/24"]))

    def test_a_push_does_not_undo_what_the_file_says_since(self):
        node = self.secondary
        node.rewrite(node.more.replace("states_max = 10000", "states_max = 20000") + '[log]\nlevel = "debug"\n')
        self.assertEqual(node.ask("reload")["restart"], ["table.states_max"])
        self.assertIs(self.post(PUSH), True)
        self.assertEqual(node.ask("show", what="config")["config"]["log"]["level"], "debug")
        self.assertEqual(set(node.hosts()), {1})

    def test_a_push_while_a_change_waits_for_the_other_node_is_not_lost(self):
        primary = self.secondary  # by now: of another node, which accepts and says nothing
        with socket.create_server(("127.0.0.1", 0)) as silent:
            text = primary.more.replace("[config_sync]", f'[config_sync]\nrole = "primary"\npeer = "127.0.0.1:{silent.getsockname()[1]}"')
            primary.kill()
            primary.rewrite(text)
            primary.come_up()
            hosts = {1}
            for vhid in range(7, 12):  # until a push comes while the change waits: on a busy machine one may be late for that
                text += CARP.format(vhid=vhid, skew=0, password="x", host=100 + vhid)
                primary.rewrite(text)
                self.assertIn("the other node is asked first", primary.ask("reload")["sentence"])
                self.assertIs(self.post(PUSH), True)
                came_in_time = set(primary.hosts()) == hosts
                hosts = hosts | {vhid}
                tap.eventually(lambda: hosts <= set(primary.hosts()), PATIENCE_S, "the change is applied without the other node")
                self.assertEqual(set(primary.hosts()), hosts)
                if came_in_time:
                    break
            else:
                self.fail("no push came while a change waited")
            self.assertIs(self.post(PUSH), True)
            self.assertEqual(set(primary.hosts()), hosts)

    def test_whoever_has_not_the_password_changes_nothing(self):
        for user, password in (("hasync", "wrong"), ("admin", self.PASSWORD)):
            with self.assertRaises(xmlrpc.client.Fault) as raised:
                self.post(PUSH, password=password, user=user)
            self.assertEqual(raised.exception.faultCode, -1)
            self.assertIn("Authentication failed", raised.exception.faultString)
        self.assertEqual(self.secondary.hosts(), {})

    def test_calls_at_once_with_the_right_password_are_all_taken(self):
        answers = []

        def ask():
            try:
                answers.append(self.post(VERSION_CHECK)["config_version"])
            except xmlrpc.client.Fault as fault:
                answers.append(fault.faultString)

        callers = [threading.Thread(target=ask) for _ in range(3)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        self.assertEqual(answers, ["24.0"] * 3)
        # And who has been let in comes in while others guess.
        for source in range(15):
            with self.assertRaises(xmlrpc.client.Fault):
                self.post(VERSION_CHECK, password="wrong", source=f"127.0.0.{50 + source}")
        self.assertEqual(self.post(VERSION_CHECK)["config_version"], "24.0")

    def test_the_first_refusal_of_each_address_is_in_the_log(self):
        for source in ("127.0.0.11", "127.0.0.12", "127.0.0.11", "127.0.0.13"):
            with self.assertRaises(xmlrpc.client.Fault):
                self.post(VERSION_CHECK, password="wrong", source=source)
        tap.eventually(lambda: "refused 127.0.0.13 at /xmlrpc.php" in self.secondary.log.read_text(), PATIENCE_S, "the last one's line")
        log = self.secondary.log.read_text()
        for source in (11, 12, 13):
            self.assertEqual(log.count(f"refused 127.0.0.{source} at /xmlrpc.php: "), 1, log)
        self.assertEqual(self.secondary.sync()["compat"]["refused"], 4)

    def test_commands_are_refused_with_an_alarm(self):
        self.assertTrue(self.secondary.sync()["healthy"])
        for method in ("pfsense.exec_php", "pfsense.exec_shell"):
            with self.assertRaises(xmlrpc.client.Fault) as raised:
                self.call(method, "touch /tmp/x", 240)
            self.assertEqual(raised.exception.faultCode, -32601)
        status = self.secondary.sync()
        self.assertFalse(status["healthy"])
        self.assertIn("pfsense.exec_php", status["alarms"][0])
        self.assertEqual(self.secondary.ctl("show", "config_sync").returncode, 1)
        self.assertEqual(self.secondary.ctl("show", "status").returncode, 1)
        self.assertIn("config sync: a caller with the right password asked to run a command", "".join(reason["sentence"] for reason in self.secondary.ask("show", what="status")["reasons"]))


if __name__ == "__main__":
    sys.exit(tap.main())
