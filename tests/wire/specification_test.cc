// Every table of wire/PFSYNC.md that begins with a mark <!-- NAME --> is what the code's own descriptions give:
// the layout facts (which the records are asserted from), the action tables, and the table of fields. A table
// that differs is printed as it should be.
#include <gtest/gtest.h>

#include <array>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/wire/plain_walk.h"
#include "wire/fields.h"

namespace pfsync::wire::test {
namespace {

using Lines = std::vector<std::string>;

/// The rows behind each mark, without the two lines of the table's head.
const std::map<std::string, Lines>& tables() {
  static const std::map<std::string, Lines> all = [] {
    std::ifstream file{PFSYNC_SPECIFICATION};
    if (!file) throw std::runtime_error{"cannot open " PFSYNC_SPECIFICATION};
    std::map<std::string, Lines> result;
    std::string mark;
    std::size_t head = 0;
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with("<!-- ") && line.ends_with(" -->")) {
        mark = line.substr(5, line.size() - 9);
        if (result.contains(mark)) throw std::runtime_error{"two tables are marked " + mark};
        head = 2;
        result[mark];
      } else if (!mark.empty() && line.starts_with("|")) {
        if (head > 0)
          --head;
        else
          result[mark].push_back(line);
      } else if (head < 2) {
        mark.clear();
      }
    }
    return result;
  }();
  return all;
}

std::string row(const Lines& cells) {
  std::string line = "|";
  for (const std::string& cell : cells) line.append(" ").append(cell).append(cell.empty() ? "|" : " |");
  return line;
}

void expect_table(const std::string& mark, const Lines& expected) {
  const auto found = tables().find(mark);
  ASSERT_NE(found, tables().end()) << "no table is marked " << mark;
  std::string text;
  for (const std::string& line : expected) text += line + "\n";
  EXPECT_EQ(found->second, expected) << "the table marked " << mark << " should be\n" << text;
}

std::string code(std::string_view name) {
  std::string text{"`"};
  return text.append(name).append("`");
}

std::string form(const PlainField& field) {
  static const std::map<std::string_view, std::string> forms{
      {"u8", "u8"},         {"u16", "be16"},    {"u32", "be32"},   {"u64", "be64"},    {"i32", "be32, signed"},
      {"opaque", "opaque"}, {"bytes", "bytes"}, {"chars", "name"}, {"padding", "zero"}};
  return field.kind == "u8" && field.size > 1 ? "u8 × " + std::to_string(field.size) : forms.at(field.kind);
}

struct Part {
  std::string name;
  std::size_t offset;
  std::size_t size;
  std::string form;
};

/// Fields, those of a struct inside taken as one.
std::vector<Part> parts_of(const PlainStruct& layout) {
  std::vector<Part> parts;
  for (const PlainField& field : layout.fields) {
    const std::size_t dot = field.name.find('.');
    const std::string name{field.name.substr(0, dot)};
    if (dot == std::string_view::npos) {
      parts.push_back({name, field.offset, field.size, form(field)});
    } else if (parts.empty() || parts.back().name != name) {
      const std::string inner = name == "src" || name == "dst" ? "peer" : name.starts_with("key") ? "key" : name;
      parts.push_back({name, field.offset, field.size, inner});
    } else {
      parts.back().size += field.size;
    }
  }
  return parts;
}

TEST(Specification, HasTheLayoutOfEveryStruct) {
  std::size_t checked = 0;
  for (const char* name : {"header", "subheader.freebsd", "subheader.openbsd", "state_scrub", "state_peer",
                           "state_key.freebsd", "state_key.openbsd", "clr", "ins_ack", "upd_req", "del_c",
                           "upd_c.freebsd", "upd_c.openbsd", "bus", "tdb.freebsd", "tdb.openbsd"}) {
    Lines expected;
    for (const Part& part : parts_of(plain_struct(name)))
      expected.push_back(row({std::to_string(part.offset), std::to_string(part.size), code(part.name), part.form}));
    expected.push_back(row({std::to_string(plain_struct(name).size), "", "*end*", ""}));
    expect_table("layout " + std::string{name}, expected);
    checked += expected.size();
  }
  EXPECT_GT(checked, 70u);
}

TEST(Specification, HasTheFullStatesSideBySide) {
  constexpr std::array<std::string_view, 4> structs{"state_1301", "state_1400", "state_1500", "state_openbsd"};
  std::array<std::map<std::string, Part>, structs.size()> by_name;
  std::vector<Part> order;
  for (std::size_t i = 0; i < structs.size(); ++i)
    for (const Part& part : parts_of(plain_struct(structs[i]))) {
      // Each dialect's spare bytes are its own affair.
      if (part.form == "zero") continue;
      bool known = false;
      for (const Part& other : order) known |= other.name == part.name;
      if (!known) order.push_back(part);
      by_name[i][part.name] = part;
    }
  Lines expected;
  for (const Part& part : order) {
    Lines cells{code(part.name), std::to_string(part.size), part.form};
    for (const auto& parts : by_name) {
      const auto found = parts.find(part.name);
      if (found == parts.end())
        cells.push_back("–");
      else if (found->second.size == part.size)
        cells.push_back(std::to_string(found->second.offset));
      else
        cells.push_back(std::to_string(found->second.offset)
                            .append(" (")
                            .append(std::to_string(found->second.size))
                            .append(" bytes)"));
    }
    expected.push_back(row(cells));
  }
  Lines sizes{"*end*", "", ""};
  for (const std::string_view name : structs) sizes.push_back(std::to_string(plain_struct(name).size));
  expected.push_back(row(sizes));
  expect_table("states", expected);
}

TEST(Specification, HasTheActionsOfEveryDialect) {
  std::map<int, Lines> rows;
  constexpr std::array<std::string_view, 4> dialects{"freebsd-1301", "freebsd-1400", "freebsd-1500", "openbsd-v6"};
  for (int number = 0; number <= 16; ++number) rows[number] = {std::to_string(number), "–", "–", "–", "–"};
  for (const PlainAction& action : plain_action_rows()) {
    std::size_t column = 0;
    while (dialects[column] != action.dialect) ++column;
    const std::uint8_t version = action.dialect == "openbsd-v6" ? 6 : 5;
    const Action* ours = find_action(version, static_cast<std::uint8_t>(action.number));
    const bool taken = ours != nullptr && takes(dialect_table[column].dialect, *ours);
    EXPECT_EQ(taken, !action.record.empty()) << action.dialect << ' ' << action.number;
    if (taken)
      rows[action.number][column + 1] = std::string{action.name}.append(" ").append(std::to_string(ours->record_bytes));
  }
  Lines expected;
  for (const auto& [number, cells] : rows) expected.push_back(row(cells));
  expect_table("actions", expected);
}

TEST(Specification, HasTheDialects) {
  Lines expected;
  for (const DialectInfo& dialect : dialect_table) {
    std::string actions;
    for (const Message message : {Message::ins, Message::upd})
      actions.append(actions.empty() ? "" : ", ").append(std::to_string(find_action(dialect.dialect, message)->number));
    expected.push_back(
        row({std::string{dialect.word}, std::string{dialect.systems}, std::to_string(dialect.header_version), actions,
             std::to_string(dialect.state_bytes), dialect.has_eof ? "yes" : "no",
             dialect.section_bytes_max == 0 ? "–" : std::to_string(dialect.section_bytes_max),
             std::to_string(dialect.reserved_bytes)}));
  }
  expect_table("dialects", expected);
}

TEST(Specification, HasWhatEachDialectCarries) {
  Lines expected;
  for (const FieldInfo& field : field_table) {
    Lines cells{code(field.word)};
    for (const Carriage carriage : field.in)
      cells.push_back(carriage == Carriage::carried ? "yes" : carriage == Carriage::partly ? "partly" : "no");
    cells.emplace_back(field.otherwise);
    cells.emplace_back(field.limit);
    expected.push_back(row(cells));
  }
  expect_table("carriage", expected);
}

TEST(Specification, MarksNoTableThatNothingChecks) {
  std::set<std::string> marks;
  for (const auto& [mark, rows] : tables()) {
    marks.insert(mark.substr(0, mark.find(' ')));
    EXPECT_FALSE(rows.empty()) << mark;
  }
  EXPECT_EQ(tables().size(), 20u);  // 16 layouts and four others, each asked for above
  EXPECT_EQ(marks, (std::set<std::string>{"actions", "carriage", "dialects", "layout", "states"}));
}

}  // namespace
}  // namespace pfsync::wire::test
