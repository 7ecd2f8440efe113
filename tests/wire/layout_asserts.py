#!/usr/bin/env python3
"""Turns the layout facts of one dialect into C++ static assertions.

usage: layout_asserts.py LAYOUTS.json DIALECT OUTPUT.h

Fails when the facts name a struct, a field or an action that has no counterpart below: what is new
in the facts must be looked at by someone, it cannot pass unchecked.
"""
import json
import re
import sys


def same(*names):
    return {name: name for name in names}


STATE_HEAD = ("id", "ifname", "key", "src", "dst", "rt_addr", "rule", "anchor", "nat_rule", "creation", "expire",
              "packets", "bytes", "creatorid")

# struct of the facts -> C++ struct, and for each field (up to its first '.' or '[') the member's path.
STRUCTS = {
    "header": ("Header", {**same("version", "len", "pfcksum"), "_pad": "pad"}),
    "subheader.freebsd": ("Subheader", {**same("action", "count"), "_pad": "len_words"}),
    "state_scrub": ("ScrubRecord", same("pfss_flags", "pfss_ttl", "scrub_flag", "pfss_ts_mod")),
    "state_peer": ("PeerRecord", same("scrub", "seqlo", "seqhi", "seqdiff", "max_win", "mss", "state", "wscale", "pad")),
    "state_key.freebsd": ("freebsd::KeyRecord", same("addr", "port")),
    "state_1301": ("freebsd::State1301", {
        **{name: "head." + name for name in STATE_HEAD},
        **same("af", "proto", "direction", "log", "state_flags", "timeout", "sync_flags", "updates"),
        "__spare": "spare"}),
    "state_1400": ("freebsd::State1400", {
        **{name: "head." + name for name in STATE_HEAD},
        **same("af", "proto", "direction", "log", "state_flags", "timeout", "sync_flags", "updates", "qid", "pqid",
               "dnpipe", "dnrpipe", "rtableid", "min_ttl", "set_tos", "max_mss", "set_prio", "rt", "rt_ifname"),
        "__spare": "spare"}),
    "state_1500": ("freebsd::State1500", {
        **{name: "head." + name for name in STATE_HEAD},
        **same("tagname", "rt_ifname", "orig_ifname", "rtableid", "state_flags", "qid", "pqid", "dnpipe", "dnrpipe",
               "max_mss", "wire_af", "stack_af", "rt_af", "wire_proto", "stack_proto", "log", "timeout", "direction",
               "rt", "min_ttl", "set_tos", "set_prio", "spare")}),
    "subheader.openbsd": ("Subheader", {**same("action", "count"), "len": "len_words"}),
    "state_key.openbsd": ("openbsd::KeyRecord", same("addr", "port", "rdomain", "af", "pad")),
    "state_openbsd": ("openbsd::StateRecord", {
        **same(*STATE_HEAD),
        **same("rtableid", "max_mss", "af", "proto", "direction", "log", "rt", "timeout", "sync_flags", "updates",
               "min_ttl", "set_tos", "state_flags", "set_prio")}),
    "upd_c.openbsd": ("openbsd::UpdCRecord", {
        **same("id", "src", "dst", "creatorid", "expire", "timeout", "state_flags"), "_pad": "pad"}),
    "tdb.openbsd": ("openbsd::TdbRecord", same("spi", "dst", "rpl", "cur_bytes", "sproto", "updates", "rdomain")),
    "clr": ("ClrRecord", same("ifname", "creatorid")),
    "ins_ack": ("IdRecord", same("id", "creatorid")),
    "upd_req": ("IdRecord", same("id", "creatorid")),
    "del_c": ("IdRecord", same("id", "creatorid")),
    "upd_c.freebsd": ("UpdCRecord", {**same("id", "src", "dst", "creatorid", "expire", "timeout"), "_pad": "pad"}),
    "bus": ("BusRecord", {**same("creatorid", "endtime", "status"), "_pad": "pad"}),
    "tdb.freebsd": ("freebsd::TdbRecord", {**same("spi", "dst", "rpl", "cur_bytes", "sproto", "updates"), "_pad": "pad"}),
    "eof": (None, {}),  # an EOF has no record
}

# dialect -> header version and the C++ enumerator's name
DIALECTS = {"freebsd-1301": (5, "freebsd_1301"), "freebsd-1400": (5, "freebsd_1400"),
            "freebsd-1500": (5, "freebsd_1500"), "openbsd-v6": (6, "openbsd")}

# kind of the facts -> C++ type of the member; kinds that are not here are plain bytes of the right size.
# A signed number is kept as its two's complement. An id is opaque on the wire and read big-endian here, so that it prints as the kernels print it.
TYPES = {("u8", 1): "std::uint8_t", ("u8", 2): "std::array<std::uint8_t, 2>", ("u16", 2): "Be16", ("u32", 4): "Be32", ("u64", 8): "Be64",
         ("i32", 4): "Be32", ("opaque", 4): "Be32", ("opaque", 8): "Be64"}
BYTES = ("bytes", "chars", "padding")


def walk(cpp_struct, path):
    """C++ expressions for the offset and the type of a member path such as key[0].addr[1]."""
    offset, kind = [], cpp_struct
    for name, index in re.findall(r"(\w+)(?:\[(\d+)\])?", path):
        offset.append(f"offsetof({kind}, {name})")
        kind = f"decltype({kind}::{name})"
        if index:
            kind += "::value_type"
            offset.append(f"{index} * sizeof({kind})")
    return " + ".join(offset), kind


def struct_lines(struct):
    name = struct["name"]
    if name not in STRUCTS:
        raise KeyError(f"struct {name} has no C++ counterpart: add it to STRUCTS")
    cpp_struct, members = STRUCTS[name]
    if cpp_struct is None:
        return
    end = 0
    for field in struct["fields"]:
        top = re.match(r"\w+", field["field"]).group()
        where = f"{name}.{field['field']}"
        if top not in members:
            raise KeyError(f"{where} has no C++ member: add it to STRUCTS")
        if field["offset"] != end:
            raise ValueError(f"{where} is at {field['offset']}, the field before it ends at {end}")
        end += field["size"]
        offset, kind = walk(cpp_struct, members[top] + field["field"][len(top):])
        yield f'static_assert({offset} == {field["offset"]} && sizeof({kind}) == {field["size"]}, "{where}");'
        if field["kind"] not in BYTES:
            yield f'static_assert(std::is_same_v<{kind}, {TYPES[field["kind"], field["size"]]}>, "{where}");'
    if end != struct["size"]:
        raise ValueError(f"{name} has {struct['size']} bytes, its fields {end}")
    yield f'static_assert(sizeof({cpp_struct}) == {struct["size"]} && alignof({cpp_struct}) == 1, "{name}");'


# By value over the table: g++ 12 does not compare pointers with null at compile time under UBSan.
ACTION_CHECKS = """\
constexpr int rows_of(Dialect dialect, std::uint8_t number) {
  int rows = 0;
  for (std::size_t i = 0; i < info(dialect).actions.size(); ++i)
    if (info(dialect).actions[i].number == number && takes(dialect, info(dialect).actions[i])) ++rows;
  return rows;
}
constexpr bool agrees(Dialect dialect, std::uint8_t number, Message message, std::size_t bytes) {
  for (std::size_t i = 0; i < info(dialect).actions.size(); ++i) {
    const Action action = info(dialect).actions[i];
    if (action.number == number) return action.message == message && action.record_bytes == bytes;
  }
  return false;
}"""


def action_lines(actions, dialect):
    version, enumerator = DIALECTS[dialect]
    yield f"namespace {enumerator}_facts {{"
    yield ACTION_CHECKS
    yield f"static_assert(info(Dialect::{enumerator}).header_version == {version});"
    for action in actions:
        number, name = action["number"], action["name"]
        if action["message"] is None:
            yield f'static_assert(rows_of(Dialect::{enumerator}, {number}) == 0, "{name} is {action["handling"]}");'
        else:
            message = "Message::" + re.sub(r"_\d+$", "", name).lower()  # INS_1400 is an INS
            yield f'static_assert(rows_of(Dialect::{enumerator}, {number}) == 1, "{name}");'
            yield f'static_assert(agrees(Dialect::{enumerator}, {number}, {message}, {action["message_size"]}), "{name}");'
    first_unknown = max(action["number"] for action in actions) + 1
    yield f"inline constexpr int first_unknown_action = {first_unknown};"
    yield f"}}  // namespace {enumerator}_facts"


def header(facts, dialect):
    structs = [struct for struct in facts["structs"] if dialect in struct["dialects"]]
    if not structs:
        raise KeyError(f"no struct of dialect {dialect}")
    lines = ["#pragma once", "// Generated by layout_asserts.py: do not edit.", "namespace pfsync::wire {"]
    for struct in structs:
        lines.extend(struct_lines(struct))
    lines.extend(action_lines(facts["actions"][dialect], dialect))
    lines.append("}  // namespace pfsync::wire")
    return "\n".join(lines) + "\n"


def main():
    layouts, dialect, output = sys.argv[1:]
    with open(layouts, encoding="utf-8") as file:
        facts = json.load(file)
    try:
        text = header(facts, dialect)
    except (KeyError, ValueError) as error:
        sys.exit(f"{layouts}: {error.args[0]}")
    with open(output, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
