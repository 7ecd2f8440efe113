-- pfsync for Wireshark and tshark: both header versions, the four dialects of wire/PFSYNC.md, every field.
--
--   tshark -X lua_script:scripts/pfsync.lua -r CAPTURE
--   Wireshark: copy it into the folder that Help > About > Folders calls "Personal Lua Plugins".
--
-- Filters: pfsync.message == "INS", pfsync.id == 0x4f2a…, pfsync.ip == 10.1.0.9, pfsync.dialect == "1400",
-- pfsync.src.seqlo, and so on: the names of the kernels' structs, WIRE and STACK for key[0] and key[1].

local pfsync = Proto("pfsync", "pf state synchronization")

-- --- layouts: name, kind, and bytes where the kind does not tell ---------------------------------------

local size_of = { u8 = 1, u16 = 2, u32 = 4, u64 = 8, i32 = 4, addr = 16, af = 1, proto = 1, dir = 1, timeout = 1, level = 1, status = 1,
                  rt = 1, hex8 = 1, hex16 = 2, hex32 = 4, hex64 = 8 }

local function joined(...)
  local all = {}
  for _, part in ipairs({ ... }) do
    for _, row in ipairs(part) do all[#all + 1] = row end
  end
  return all
end

local function prefixed(prefix, rows)
  local all = {}
  for _, row in ipairs(rows) do all[#all + 1] = { prefix .. "." .. row[1], row[2], row[3] } end
  return all
end

local peer = {
  { "scrub.pfss_flags", "hex16" }, { "scrub.pfss_ttl", "u8" }, { "scrub.scrub_flag", "u8" }, { "scrub.pfss_ts_mod", "hex32" },
  { "seqlo", "u32" }, { "seqhi", "u32" }, { "seqdiff", "u32" }, { "max_win", "u16" }, { "mss", "u16" }, { "state", "level" },
  { "wscale", "hex8" }, { "pad", "pad", 6 },
}
local peers = joined(prefixed("src", peer), prefixed("dst", peer))
local key = { { "addr0", "addr" }, { "addr1", "addr" }, { "port0", "u16" }, { "port1", "u16" } }
local key_openbsd = joined(key, { { "rdomain", "u16" }, { "af", "af" }, { "pad", "pad", 1 } })

local function head(one_key)
  return joined({ { "id", "hex64" }, { "ifname", "name", 16 } }, prefixed("key.wire", one_key), prefixed("key.stack", one_key), peers,
    { { "rt_addr", "addr" }, { "rule", "i32" }, { "anchor", "i32" }, { "nat_rule", "i32" }, { "creation", "u32" }, { "expire", "u32" },
      { "packets0", "u64" }, { "packets1", "u64" }, { "bytes0", "u64" }, { "bytes1", "u64" }, { "creatorid", "hex32" } })
end

local id = { { "id", "hex64" }, { "creatorid", "hex32" } }
local upd_c = joined({ { "id", "hex64" } }, peers, { { "creatorid", "hex32" }, { "expire", "u32" }, { "timeout", "timeout" } })

local layouts = {
  eof = {},
  id = id,
  clr = { { "ifname", "name", 16 }, { "creatorid", "hex32" } },
  bus = { { "creatorid", "hex32" }, { "endtime", "u32" }, { "status", "status" }, { "pad", "pad", 3 } },
  upd_c_freebsd = joined(upd_c, { { "pad", "pad", 3 } }),
  upd_c_openbsd = joined(upd_c, { { "state_flags", "hex16", 1 }, { "pad", "pad", 2 } }),
  tdb_freebsd = { { "spi", "hex32" }, { "tdb_dst", "sockaddr", 28 }, { "rpl", "u64", 4 }, { "cur_bytes", "u64" }, { "sproto", "proto" },
                  { "updates", "u8" }, { "pad", "pad", 2 } },
  tdb_openbsd = { { "spi", "hex32" }, { "tdb_dst", "sockaddr", 28 }, { "rpl", "u64" }, { "cur_bytes", "u64" }, { "sproto", "proto" },
                  { "updates", "u8" }, { "rdomain", "u16" } },
  state_1301 = joined(head(key), {
    { "af", "af" }, { "proto", "proto" }, { "direction", "dir" }, { "spare", "pad", 2 }, { "log", "u8" }, { "state_flags", "hex16", 1 },
    { "timeout", "timeout" }, { "sync_flags", "hex8" }, { "updates", "u8" } }),
  state_1400 = joined(head(key), {
    { "af", "af" }, { "proto", "proto" }, { "direction", "dir" }, { "state_flags", "hex16" }, { "log", "u8" }, { "spare", "pad", 1 },
    { "timeout", "timeout" }, { "sync_flags", "hex8" }, { "updates", "u8" }, { "qid", "u16" }, { "pqid", "u16" }, { "dnpipe", "u16" },
    { "dnrpipe", "u16" }, { "rtableid", "i32" }, { "min_ttl", "u8" }, { "set_tos", "hex8" }, { "max_mss", "u16" }, { "set_prio", "bytes", 2 },
    { "rt", "rt" }, { "rt_ifname", "name", 16 } }),
  state_1500 = joined(head(key), {
    { "tagname", "name", 64 }, { "rt_ifname", "name", 16 }, { "orig_ifname", "name", 16 }, { "rtableid", "i32" }, { "state_flags", "hex16" },
    { "qid", "u16" }, { "pqid", "u16" }, { "dnpipe", "u16" }, { "dnrpipe", "u16" }, { "max_mss", "u16" }, { "wire_af", "af" },
    { "stack_af", "af" }, { "rt_af", "af" }, { "wire_proto", "proto" }, { "stack_proto", "proto" }, { "log", "u8" }, { "timeout", "timeout" },
    { "direction", "dir" }, { "rt", "rt" }, { "min_ttl", "u8" }, { "set_tos", "hex8" }, { "set_prio", "bytes", 2 }, { "spare", "pad", 3 } }),
  state_openbsd = joined(head(key_openbsd), {
    { "rtableid0", "i32" }, { "rtableid1", "i32" }, { "max_mss", "u16" }, { "af", "af" }, { "proto", "proto" }, { "direction", "dir" },
    { "log", "u8" }, { "rt", "rt" }, { "timeout", "timeout" }, { "sync_flags", "hex8" }, { "updates", "u8" }, { "min_ttl", "u8" },
    { "set_tos", "hex8" }, { "state_flags", "hex16" }, { "set_prio", "bytes", 2 } }),
}
for _, layout in pairs(layouts) do
  layout.at, layout.bytes = {}, 0
  for _, row in ipairs(layout) do
    row.bytes = row[3] or size_of[row[2]]
    layout.at[row[1]] = layout.bytes
    layout.bytes = layout.bytes + row.bytes
  end
end

-- By header version: action number -> message, layout, dialect where it tells.
local actions = {
  [5] = {
    [0] = { "CLR", "clr" }, [1] = { "INS", "state_1301", "1301" }, [2] = { "INS_ACK", "id" }, [3] = { "UPD", "state_1301", "1301" },
    [4] = { "UPD_C", "upd_c_freebsd" }, [5] = { "UPD_REQ", "id" }, [6] = { "DEL", "state_1301", "1301" }, [7] = { "DEL_C", "id" },
    [10] = { "BUS", "bus" }, [11] = { "TDB", "tdb_freebsd" }, [12] = { "EOF", "eof" }, [13] = { "INS", "state_1400", "1400" },
    [14] = { "UPD", "state_1400", "1400" }, [15] = { "INS", "state_1500", "1500" }, [16] = { "UPD", "state_1500", "1500" },
  },
  [6] = {
    [0] = { "CLR", "clr" }, [2] = { "INS_ACK", "id" }, [4] = { "UPD_C", "upd_c_openbsd" }, [5] = { "UPD_REQ", "id" },
    [6] = { "DEL", "state_openbsd" }, [7] = { "DEL_C", "id" }, [10] = { "BUS", "bus" }, [13] = { "INS", "state_openbsd" },
    [14] = { "UPD", "state_openbsd" }, [15] = { "TDB", "tdb_openbsd" },
  },
}

-- --- words ---------------------------------------------------------------------------------------------

local levels = { [0] = "CLOSED", "LISTEN", "SYN_SENT", "SYN_RCVD", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT_1", "CLOSING", "LAST_ACK",
                 "FIN_WAIT_2", "TIME_WAIT", "PROXY_SRC", "PROXY_DST" }
local other_levels = { [0] = "NO_TRAFFIC", "SINGLE", "MULTIPLE" }
local protocols = { [1] = "icmp", [6] = "tcp", [17] = "udp", [47] = "gre", [50] = "esp", [51] = "ah", [58] = "ipv6-icmp", [108] = "ipcomp",
                    [112] = "carp", [132] = "sctp", [240] = "pfsync" }
local directions = { [0] = "inout", "in", "out" }
local statuses = { [1] = "start", [2] = "end" }
local families = { [5] = { [2] = "inet", [28] = "inet6" }, [6] = { [2] = "inet", [24] = "inet6" } }

-- --- fields --------------------------------------------------------------------------------------------

local makers = {
  u8 = function(a, n) return ProtoField.uint8(a, n) end,
  u16 = function(a, n) return ProtoField.uint16(a, n) end,
  u32 = function(a, n) return ProtoField.uint32(a, n) end,
  u64 = function(a, n) return ProtoField.uint64(a, n) end,
  i32 = function(a, n) return ProtoField.int32(a, n) end,
  hex8 = function(a, n) return ProtoField.uint8(a, n, base.HEX) end,
  hex16 = function(a, n) return ProtoField.uint16(a, n, base.HEX) end,
  hex32 = function(a, n) return ProtoField.uint32(a, n, base.HEX) end,
  hex64 = function(a, n) return ProtoField.uint64(a, n, base.HEX) end,
  name = function(a, n) return ProtoField.string(a, n) end,
  proto = function(a, n) return ProtoField.uint8(a, n, base.DEC, protocols) end,
  dir = function(a, n) return ProtoField.uint8(a, n, base.DEC, directions) end,
  status = function(a, n) return ProtoField.uint8(a, n, base.DEC, statuses) end,
}
makers.af, makers.timeout, makers.level, makers.rt = makers.u8, makers.u8, makers.u8, makers.u8
makers.bytes = function(a, n) return ProtoField.bytes(a, n) end
makers.addr, makers.sockaddr, makers.pad = makers.bytes, makers.bytes, makers.bytes

local f = {
  version = ProtoField.uint8("pfsync.version", "version"),
  len = ProtoField.uint16("pfsync.len", "len"),
  pfcksum = ProtoField.bytes("pfsync.pfcksum", "pfcksum"),
  action = ProtoField.uint8("pfsync.action", "action"),
  len_words = ProtoField.uint8("pfsync.len_words", "len (4-byte words)"),
  count = ProtoField.uint16("pfsync.count", "count"),
  message = ProtoField.string("pfsync.message", "message"),
  dialect = ProtoField.string("pfsync.dialect", "dialect"),
  extra = ProtoField.bytes("pfsync.extra", "bytes of a newer sender"),
  ip = ProtoField.ipv4("pfsync.ip", "address"),
  ipv6 = ProtoField.ipv6("pfsync.ipv6", "address"),
}
local kind_of = {}
for _, layout in pairs(layouts) do
  for _, row in ipairs(layout) do
    local name = row[1]
    -- One filter name has one type, whatever the width in a dialect.
    if kind_of[name] == nil then
      kind_of[name] = row[2]
      if f[name] == nil then f[name] = makers[row[2]]("pfsync." .. name, name) end
    elseif kind_of[name] ~= row[2] then
      error("pfsync.lua: field " .. name .. " has two kinds")
    end
  end
end
pfsync.fields = f

local function expert_of(name, text, group, severity) return ProtoExpert.new("pfsync.expert." .. name, text, group, severity) end
local e = {
  version = expert_of("badver", "No known header version: receivers drop the packet (badver)", expert.group.PROTOCOL, expert.severity.ERROR),
  truncated = expert_of("badlen", "Cut short: receivers drop the packet (badlen, hdrops)", expert.group.MALFORMED, expert.severity.ERROR),
  action = expert_of("badact", "No known action", expert.group.PROTOCOL, expert.severity.WARN),
  short = expert_of("short", "The messages are shorter than this version's", expert.group.MALFORMED, expert.severity.ERROR),
  eof = expert_of("noeof", "No EOF at the end: sections are missing, or the sender is none of FreeBSD's", expert.group.PROTOCOL, expert.severity.WARN),
  ttl = expert_of("badttl", "TTL or hop limit is not 255: receivers drop the packet (badttl)", expert.group.PROTOCOL, expert.severity.WARN),
}
pfsync.experts = e

local ttl_field, hlim_field = Field.new("ip.ttl"), Field.new("ipv6.hlim")

-- --- records -------------------------------------------------------------------------------------------

local function family_name(version, number) return families[version][number] end

-- The range of an address, the filterable field for it, or nil when its family is not known.
local function address_in(range, family)
  if family == "inet" then return range(0, 4), f.ip end
  if family == "inet6" then return range(0, 16), f.ipv6 end
end

local function address_text(range, family)
  if family == "inet" then return tostring(range(0, 4):ipv4()) end
  if family == "inet6" then return tostring(range(0, 16):ipv6()) end
  return tostring(range:bytes())
end

-- What the record says of itself before its fields are shown in order.
local function facts_of(record, layout, version)
  local function number(name) return layout.at[name] and record(layout.at[name], 1):uint() end
  local wire = family_name(version, number("wire_af") or number("af") or 0)
  local facts = { proto = number("proto") or number("wire_proto") }
  facts.wire = layout.at["key.wire.af"] and family_name(version, number("key.wire.af")) or wire
  facts.stack = family_name(version, number("stack_af") or number("key.stack.af") or 0) or wire
  facts.rt = family_name(version, number("rt_af") or 0) or wire
  return facts
end

local function family_of(name, facts)
  if name:find("^key%.wire") then return facts.wire end
  if name:find("^key%.stack") then return facts.stack end
  return facts.rt
end

local function level_name(level, proto)
  if proto == nil then return levels[level] end  -- UPD_C does not say; TCP mostly
  if proto == 6 then return levels[level] end
  return other_levels[level]
end

local function add_field(tree, row, range, facts, version)
  local name, kind = row[1], row[2]
  local item = tree:add(f[name], range)
  if kind == "addr" then
    local family = family_of(name, facts)
    item:set_text(name .. ": " .. address_text(range, family))
    local part, field = address_in(range, family)
    if field then item:add(field, part) end
  elseif kind == "sockaddr" then
    local family = family_name(version, range(1, 1):uint())
    local offset = family == "inet" and 4 or 8
    if family then
      item:set_text(name .. ": " .. address_text(range(offset), family))
      local part, field = address_in(range(offset), family)
      item:add(field, part)
    end
  elseif kind == "af" then
    item:append_text(" (" .. (family_name(version, range:uint()) or "none") .. ")")
  elseif kind == "level" then
    local word = level_name(range:uint(), facts.proto)
    if word then item:append_text(" (" .. word .. ")") end
  end
end

local function port_text(record, layout, name) return tostring(record(layout.at[name], 2):uint()) end

local function summary_of(record, layout, facts)
  local text = ""
  if layout.at["key.stack.addr0"] then
    local function host(side, i)
      local at = layout.at["key." .. side .. ".addr" .. i]
      local address = address_text(record(at, 16), side == "wire" and facts.wire or facts.stack)
      local port = port_text(record, layout, "key." .. side .. ".port" .. i)
      return address:find(":") and address .. "[" .. port .. "]" or address .. ":" .. port
    end
    local out = record(layout.at.direction, 1):uint() == 2
    local near, wire_near, far = host("stack", out and 1 or 0), host("wire", out and 1 or 0), host("wire", out and 0 or 1)
    local nat = near ~= wire_near and " (" .. near .. ")" or ""
    text = ", " .. (protocols[facts.proto] or tostring(facts.proto)) .. " " .. wire_near .. nat .. " -> " .. far
  end
  if layout.at["src.state"] then
    local function level(side)
      local number = record(layout.at[side .. ".state"], 1):uint()
      return level_name(number, facts.proto) or tostring(number)
    end
    text = text .. ", " .. level("src") .. ":" .. level("dst")
  end
  if layout.at.ifname and not layout.at.id then
    local name = record(layout.at.ifname, 16):stringz()
    text = ", " .. (name == "" and "all interfaces" or name)
  end
  if layout.at.status then text = ", " .. (statuses[record(layout.at.status, 1):uint()] or "?") end
  if layout.at.spi then text = ", spi 0x" .. tostring(record(0, 4):bytes()):lower() end
  if layout.at.id then
    text = " id " .. tostring(record(layout.at.id, 8):bytes()):lower() .. text
    if record(layout.at.id, 8):uint64() == UInt64(0) and record(layout.at.creatorid, 4):uint() == 0 then text = " everything (bulk update)" end
  end
  if layout.at.creatorid then text = text .. ", creator " .. tostring(record(layout.at.creatorid, 4):bytes()):lower() end
  return text
end

local function add_record(tree, message, layout, record, version, stride)
  local facts = facts_of(record, layout, version)
  local item = tree:add(record(0, stride), message .. summary_of(record, layout, facts))
  local at = 0
  for _, row in ipairs(layout) do
    add_field(item, row, record(at, row.bytes), facts, version)
    at = at + row.bytes
  end
  if stride > at then item:add(f.extra, record(at, stride - at)) end
end

-- --- packets -------------------------------------------------------------------------------------------

local header_bytes, subheader_bytes = 20, 4

local function check_ttl(tree)
  local ttls, hlims = { ttl_field() }, { hlim_field() }
  local last = hlims[#hlims] or ttls[#ttls]
  if last and last.value ~= 255 then tree:add_proto_expert_info(e.ttl) end
end

function pfsync.dissector(tvb, pinfo, root)
  pinfo.cols.protocol = "PFSYNC"
  local bytes = tvb:captured_len()
  local tree = root:add(pfsync, tvb())
  check_ttl(tree)
  if bytes < header_bytes then
    tree:add_proto_expert_info(e.truncated)
    pinfo.cols.info = "cut short"
    return bytes
  end
  local version = tvb(0, 1):uint()
  tree:add(f.version, tvb(0, 1))
  tree:add(f.pad, tvb(1, 1))
  local len_item = tree:add(f.len, tvb(2, 2))
  tree:add(f.pfcksum, tvb(4, 16))
  if actions[version] == nil then
    tree:add_proto_expert_info(e.version)
    pinfo.cols.info = "header version " .. version
    return bytes
  end
  local finish = tvb(2, 2):uint()
  if finish > bytes or finish < header_bytes then len_item:add_proto_expert_info(e.truncated) end
  finish = math.min(finish, bytes)

  local words, dialect, saw_eof = {}, version == 6 and "openbsd" or nil, false
  local at = header_bytes
  while at < finish and not saw_eof do
    if at + subheader_bytes > finish then
      tree:add_proto_expert_info(e.truncated)
      break
    end
    local number, second, count = tvb(at, 1):uint(), tvb(at + 1, 1):uint(), tvb(at + 2, 2):uint()
    local action = actions[version][number]
    local layout = action and layouts[action[2]]
    local stride = version == 6 and second * 4 or (layout and layout.bytes or 0)
    local room = finish - at - subheader_bytes
    local wanted = count * stride
    local section = tree:add(tvb(at, subheader_bytes + math.min(wanted, room)), (action and action[1] or "action " .. number) .. " x" .. count)
    section:add(f.action, tvb(at, 1)):append_text(action and " (" .. action[1] .. ")" or "")
    section:add(version == 6 and f.len_words or f.pad, tvb(at + 1, 1))
    section:add(f.count, tvb(at + 2, 2))
    words[#words + 1] = (action and action[1] or "action " .. number) .. (action and action[1] == "EOF" and "" or " x" .. count)
    at = at + subheader_bytes
    if action == nil then
      section:add_proto_expert_info(e.action)
      if version == 5 then break end  -- nothing tells how long it is
    else
      section:add(f.message, action[1]):set_generated()
      dialect = action[3] or dialect
      saw_eof = action[1] == "EOF"
      if stride < layout.bytes then
        section:add_proto_expert_info(e.short)
      elseif stride > 0 then
        for i = 0, math.min(count, math.floor(room / stride)) - 1 do
          add_record(section, action[1], layout, tvb(at + i * stride, stride), version, stride)
        end
      end
    end
    if wanted > room then
      section:add_proto_expert_info(e.truncated)
      break
    end
    at = at + wanted
  end
  if version == 5 and not saw_eof then tree:add_proto_expert_info(e.eof) end
  if dialect then tree:add(f.dialect, dialect):set_generated() end
  local text = table.concat(words, ", ")
  tree:append_text(": " .. text)
  pinfo.cols.info = (dialect and dialect .. ": " or "") .. text
  return bytes
end

-- The same table serves IPv4's protocol and IPv6's next header.
DissectorTable.get("ip.proto"):add(240, pfsync)
