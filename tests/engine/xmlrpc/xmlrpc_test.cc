#include <gtest/gtest.h>

#include <string>
#include <variant>

#include "engine/base64.h"
#include "engine/xmlrpc/codec.h"
#include "engine/xmlrpc/text.h"

namespace pfsync::engine::xmlrpc {
namespace {

const std::string declaration = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n";

/// The example without the line breaks that stand in it for the eye.
std::string joined(std::string_view text) {
  std::string result = declaration;
  for (const char c : text)
    if (c != '\n') result += c;
  return result;
}

Call call_of(std::string_view body) {
  const CallResult result = decode_call(body);
  if (const auto* fault = std::get_if<Fault>(&result)) {
    ADD_FAILURE() << fault->text;
    return {};
  }
  return std::get<Call>(result);
}

Value value_of(std::string_view inner) {
  const Call call = call_of("<methodCall><methodName>a</methodName><params><param>" + std::string{inner} +
                            "</param></params></methodCall>");
  EXPECT_EQ(call.params.size(), 1u);
  return call.params.empty() ? Value{} : call.params.front();
}

Fault fault_of(std::string_view body, const Limits& limits = {}) {
  const CallResult result = decode_call(body, limits);
  if (const auto* fault = std::get_if<Fault>(&result)) return *fault;
  ADD_FAILURE() << "taken: " << body.substr(0, 200);
  return {};
}

Fault fault_of_value(std::string_view inner) {
  return fault_of("<methodCall><methodName>a</methodName><params><param>" + std::string{inner} +
                  "</param></params></methodCall>");
}

constexpr const char* version_check = R"(<methodCall><methodName>pfsense.host_firmware_version</methodName><params>
<param><value><string></string></value></param><param><value><int>240</int></value></param>
</params></methodCall>)";

constexpr const char* version_answer = R"(<methodResponse><params><param><value><struct>
<member><name>firmware</name><value><struct><member><name>version</name><value><string>2.8.0</string></value></member></struct></value></member>
<member><name>kernel</name><value><struct><member><name>version</name><value><string>15.0</string></value></member></struct></value></member>
<member><name>base</name><value><struct><member><name>version</name><value><string>15.0</string></value></member></struct></value></member>
<member><name>platform</name><value><string>pfSense</string></value></member>
<member><name>config_version</name><value><string>24.0</string></value></member>
</struct></value></param></params></methodResponse>)";

constexpr const char* push =
    R"(<methodCall><methodName>pfsense.restore_config_section</methodName><params><param><value><struct>
<member><name>virtualip</name><value><struct><member><name>vip</name><value><array><data><value><struct>
<member><name>mode</name><value><string>carp</string></value></member>
<member><name>interface</name><value><string>wan</string></value></member>
<member><name>vhid</name><value><string>1</string></value></member>
<member><name>advskew</name><value><int>100</int></value></member>
<member><name>advbase</name><value><int>1</int></value></member>
<member><name>password</name><value><string>a&amp;b&lt;c</string></value></member>
<member><name>uniqid</name><value><string>6602c2b1a3f10</string></value></member>
<member><name>descr</name><value><string>WAN VIP</string></value></member>
<member><name>type</name><value><string>single</string></value></member>
<member><name>subnet_bits</name><value><string>24</string></value></member>
<member><name>subnet</name><value><string>192.168.1.100</string></value></member>
</struct></value></data></array></value></member></struct></value></member>
<member><name>aliases</name><value><struct><member><name>alias</name><value><array><data></data></array></value></member></struct></value></member>
<member><name>system</name><value><struct><member><name>nextuid</name><value><string>2000</string></value></member></struct></value></member>
</struct></value></param><param><value><int>900</int></value></param></params></methodCall>)";

constexpr const char* push_answer =
    "<methodResponse><params><param><value><boolean>1</boolean></value></param></params></methodResponse>";

constexpr const char* refused = R"(<methodResponse><fault><value><struct>
<member><name>faultCode</name><value><int>-1</int></value></member>
<member><name>faultString</name><value><string>Authentication failed: Invalid username or password</string></value></member>
</struct></value></fault></methodResponse>)";

TEST(XmlrpcSamples, CallsOfPfsenseAreReadAndWrittenByteForByte) {
  for (const char* sample : {version_check, push}) {
    const std::string body = joined(sample);
    const Call call = call_of(body);
    EXPECT_EQ(encode_call(call.method, call.params), body);
  }
  const Call call = call_of(joined(push));
  ASSERT_EQ(call.params.size(), 2u);
  EXPECT_EQ(call.params[1], Value{900});
  const auto vips = call.params[0].find("virtualip")->find("vip")->as_list();
  ASSERT_TRUE(vips && vips->size() == 1);
  EXPECT_EQ(*vips->front()->find("password"), Value{"a&b<c"});
  EXPECT_EQ(*vips->front()->find("advskew"), Value{100});
  EXPECT_EQ(*vips->front()->find("vhid"), Value{"1"});
}

TEST(XmlrpcSamples, ResponsesOfPfsenseAreReadAndWrittenByteForByte) {
  for (const char* sample : {version_answer, push_answer}) {
    const std::string body = joined(sample);
    const ResponseResult result = decode_response(body);
    ASSERT_TRUE(std::holds_alternative<Value>(result));
    EXPECT_EQ(encode_response(std::get<Value>(result)), body);
  }
  const ResponseResult result = decode_response(joined(refused));
  const Fault expected{-1, "Authentication failed: Invalid username or password"};
  EXPECT_EQ(std::get<Fault>(result), expected);
  EXPECT_EQ(encode_fault(expected), joined(refused));
}

TEST(XmlrpcSamples, OpnsenseIndentsAndAnswersUntyped) {
  const Call call = call_of(
      "<?xml version=\"1.0\"?>\n<methodCall>\n<methodName>opnsense.firmware_version</methodName>\n<params>\n"
      "</params></methodCall>\n");
  EXPECT_EQ(call.method, "opnsense.firmware_version");
  EXPECT_TRUE(call.params.empty());
  const ResponseResult result = decode_response(
      "<methodResponse><params><param><value>Authentication failed</value></param></params></methodResponse>");
  EXPECT_EQ(std::get<Value>(result), Value{"Authentication failed"});
}

TEST(Xmlrpc, AnEmptyArrayIsAnEmptyMapToo) {
  const Value value = value_of("<value><array><data></data></array></value>");
  ASSERT_NE(value.as_map(), nullptr);
  EXPECT_TRUE(value.as_map()->empty());
  EXPECT_TRUE(value.as_list() && value.as_list()->empty());
  EXPECT_EQ(value.find("vip"), nullptr);
  EXPECT_EQ(value_of("<value><array><data><value>1</value></data></array></value>").as_map(), nullptr);
}

TEST(Xmlrpc, AStructOfNumbersIsAListWithGaps) {
  const Value value = value_of(
      "<value><struct><member><name>2</name><value>c</value></member>"
      "<member><name>0</name><value>a</value></member></struct></value>");
  const auto list = value.as_list();
  ASSERT_TRUE(list && list->size() == 2);
  EXPECT_EQ(*list->at(0), Value{"c"});
  EXPECT_EQ(*list->at(1), Value{"a"});
  EXPECT_FALSE(value_of("<value><struct><member><name>2a</name><value>c</value></member></struct></value>").as_list());
}

TEST(Xmlrpc, EveryType) {
  EXPECT_EQ(value_of("<value>a b</value>"), Value{"a b"});
  EXPECT_EQ(value_of("<value></value>"), Value{""});
  EXPECT_EQ(value_of("<value/>"), Value{""});
  EXPECT_EQ(value_of("<value>  </value>"), Value{"  "});
  EXPECT_EQ(value_of("<value><string> a\n </string></value>"), Value{" a\n "});
  EXPECT_EQ(value_of("<value><string><![CDATA[<&amp;>]]>x</string></value>"), Value{"<&amp;>x"});
  EXPECT_EQ(value_of("<value><string>&#228;&#xe4;&quot;&apos;&gt;</string></value>"), Value{"ää\"'>"});
  EXPECT_EQ(value_of("<value><int> -5 </int></value>"), Value{-5});
  EXPECT_EQ(value_of("<value><i4>+7</i4></value>"), Value{7});
  EXPECT_EQ(value_of("<value><i8>-9223372036854775808</i8></value>"), Value{std::numeric_limits<std::int64_t>::min()});
  EXPECT_EQ(value_of("<value><ex:i8>4294967296</ex:i8></value>"), Value{std::int64_t{4294967296}});
  EXPECT_EQ(value_of("<value><boolean>1</boolean></value>"), Value{true});
  EXPECT_EQ(value_of("<value><boolean>false</boolean></value>"), Value{false});
  EXPECT_EQ(value_of("<value><double>-1.5e3</double></value>"), Value{-1500.0});
  EXPECT_EQ(value_of("<value><dateTime.iso8601>20261128T22:00:00</dateTime.iso8601></value>"),
            Value{Value::DateTime{"20261128T22:00:00"}});
  EXPECT_EQ(value_of("<value><base64>aGVs\n bG8=\n</base64></value>"), Value{Value::Binary{"hello"}});
  EXPECT_TRUE(value_of("<value><nil/></value>").is_nil());
  EXPECT_TRUE(value_of("<value><ex:nil/></value>").is_nil());
  EXPECT_EQ(value_of("<value> <array> <data> <value><int>1</int></value> </data> </array> </value>"),
            Value{Value::Array{Value{1}}});
}

TEST(Xmlrpc, NumbersAndTextsStandForEachOther) {
  EXPECT_EQ(Value{"24"}.as_integer(), 24);
  EXPECT_EQ(Value{24}.as_integer(), 24);
  EXPECT_EQ(Value{24}.as_text(), "24");
  EXPECT_EQ(Value{true}.as_text(), "1");
  for (const Value& value : {Value{""}, Value{"24x"}, Value{" 24"}, Value{}, Value{2.0}, Value{Value::Array{}}})
    EXPECT_FALSE(value.as_integer());
  EXPECT_FALSE(Value{Value::Struct{}}.as_text());
}

TEST(Xmlrpc, OfTwoMembersWithOneNameTheLastCounts) {
  const Value value = value_of(
      "<value><struct><member><name>a</name><value>1</value></member><member><name>b</name><value>2</value></member>"
      "<member><name>a</name><value>3</value></member></struct></value>");
  ASSERT_EQ(value.as_map()->size(), 2u);
  EXPECT_EQ(*value.find("a"), Value{"3"});
}

TEST(Xmlrpc, IntegersBeyond32BitsAreWrittenAsI8) {
  EXPECT_NE(encode_response(Value{std::int64_t{2147483648}}).find("<i8>2147483648</i8>"), std::string::npos);
  EXPECT_NE(encode_response(Value{std::int64_t{-2147483648}}).find("<int>-2147483648</int>"), std::string::npos);
}

TEST(Xmlrpc, EveryValueIsReadAsItWasWritten) {
  const Value value{
      Value::Struct{{"text", "<&>\r\n\"ä"},
                    {"", Value{}},
                    {"@attributes", Value{Value::Struct{{"uuid", "1-2"}}}},
                    {"numbers", Value{Value::Array{Value{0}, Value{std::int64_t{1} << 40}, Value{0.1}, Value{1e300}}}},
                    {"time", Value{Value::DateTime{"19980717T14:08:55"}}},
                    {"bytes", Value{Value::Binary{std::string{"\0\xff\x80", 3}}}},
                    {"flags", Value{Value::Array{Value{true}, Value{false}}}}}};
  EXPECT_EQ(std::get<Value>(decode_response(encode_response(value))), value);
  const CallResult call = decode_call(encode_call("a.b", {value, value}));
  EXPECT_EQ(std::get<Call>(call).params[1], value);
}

TEST(Xmlrpc, Base64OfEveryLength) {
  std::string bytes;
  for (int i = 0; i < 60; ++i) {
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
    bytes += static_cast<char>(i * 37);
  }
  for (const char* wrong : {"a", "ab", "abc", "abc==", "ab=", "ab===", "=abc", "ab=c", "ab!=", "abcd=", "====="})
    EXPECT_FALSE(from_base64(wrong)) << wrong;
}

TEST(Xmlrpc, Latin1IsTakenOtherEncodingsAreNot) {
  const std::string body =
      "?><methodCall><methodName>a</methodName><params><param><value>\xe4</value></param></params></methodCall>";
  EXPECT_EQ(call_of("<?xml version='1.0' encoding='ISO-8859-1'" + body).params.at(0), Value{"ä"});
  EXPECT_EQ(fault_of("<?xml version=\"1.0\" encoding=\"utf-8\"" + body).code, fault_code::not_well_formed);
  EXPECT_EQ(fault_of("<?xml version=\"1.0\" encoding=\"utf-16\"" + body).code, fault_code::not_well_formed);
  EXPECT_EQ(call_of("\xef\xbb\xbf" + joined(version_check)).params.size(), 2u);
}

TEST(Xmlrpc, EntitiesAndDocumentTypesAreRefused) {
  const std::string bomb =
      "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;\">]>"
      "<methodCall><methodName>a</methodName><params><param><value>&lol2;</value></param></params></methodCall>";
  const Fault fault = fault_of(bomb);
  EXPECT_EQ(fault.code, fault_code::not_well_formed);
  EXPECT_EQ(fault.text, "a document type or a declaration of an entity is not taken");
  for (const char* entity : {"&lol;", "&", "&;", "&#0;", "&#55296;", "&#x110000;", "&#-1;", "&#x;", "&amp"})
    EXPECT_EQ(fault_of_value("<value>" + std::string{entity} + "</value>").code, fault_code::not_well_formed) << entity;
}

std::string nested(std::size_t depth) {
  std::string text;
  for (std::size_t i = 1; i < depth; ++i) text += "<value><array><data>";
  text += "<value><int>1</int></value>";
  for (std::size_t i = 1; i < depth; ++i) text += "</data></array></value>";
  return text;
}

TEST(Xmlrpc, DepthIsBounded) {
  EXPECT_TRUE(value_of(nested(64)).as_list());
  EXPECT_EQ(fault_of_value(nested(65)).text, "values are nested too deeply");
  EXPECT_EQ(fault_of_value(nested(100'000)).text, "values are nested too deeply");
}

TEST(Xmlrpc, SizesAreBounded) {
  const std::string body = joined(push);
  EXPECT_EQ(fault_of(body, {.bytes = 100}).text, "the document is too large");
  EXPECT_EQ(fault_of(body, {.values = 16}).text, "there are too many values");
  EXPECT_EQ(fault_of(body, {.name_bytes = 10}).code, fault_code::invalid_request);
  EXPECT_EQ(fault_of(joined(version_check) + std::string(200, '<'), {.values = 4}).text,
            "the document has too many elements");
  EXPECT_EQ(fault_of_value("<value><struct><member><name>" + std::string(257, 'a') +
                           "</name><value/></member></struct></value>")
                .text,
            "a member's name is too long");
}

TEST(Xmlrpc, EveryCutOfADocumentIsAFault) {
  const std::string body = joined(push);
  for (std::size_t bytes = 0; bytes < body.size(); ++bytes)
    EXPECT_LT(fault_of(std::string_view{body}.substr(0, bytes)).code, 0) << bytes;
}

TEST(Xmlrpc, WhatIsNoCallIsAFault) {
  for (const char* body :
       {"<methodResponse/>", "<methodCall/>", "<methodCall><params/></methodCall>",
        "<methodCall><methodName></methodName></methodCall>", "<methodCall><methodName>a b</methodName></methodCall>",
        "<methodCall><methodName>a</methodName><params/><params/></methodCall>"})
    EXPECT_EQ(fault_of(body).code, fault_code::invalid_request) << body;
  for (const char* body :
       {"", " ", "GET / HTTP/1.0", "<a/><methodCall/>", "x<methodCall/>", "<methodCall/>x", "<methodCall",
        "<methodCall><methodName><b/></methodName></methodCall>",
        "<methodCall><methodName>a</methodName><params><value/></params></methodCall>",
        "<methodCall><methodName>a</methodName><params><param/></params></methodCall>",
        "<methodCall><methodName>a</methodName><params><param><value/><value/></param></params></methodCall>",
        "<methodCall><methodName>a</methodName><params>x</params></methodCall>"})
    EXPECT_EQ(fault_of(body).code, fault_code::not_well_formed) << body;
  const std::string zero{"<methodCall>\0</methodCall>", 26};
  EXPECT_EQ(fault_of(zero).code, fault_code::not_well_formed);
}

TEST(Xmlrpc, WrongValuesAreFaults) {
  for (const char* value : {"<value><int></int></value>",
                            "<value><int>1.0</int></value>",
                            "<value><int>0x1</int></value>",
                            "<value><int>2147483648</int></value>",
                            "<value><int>+-1</int></value>",
                            "<value><i8>9223372036854775808</i8></value>",
                            "<value><boolean>2</boolean></value>",
                            "<value><double>nan</double></value>",
                            "<value><double>1e999</double></value>",
                            "<value><double>1,5</double></value>",
                            "<value><dateTime.iso8601>2026-11-28T22:00:00</dateTime.iso8601></value>",
                            "<value><base64>a</base64></value>",
                            "<value><nil>0</nil></value>",
                            "<value><unknown/></value>",
                            "<value>x<int>1</int></value>",
                            "<value><int>1</int><int>1</int></value>",
                            "<value><int><b/></int></value>",
                            "<value><array/></value>",
                            "<value><array><value/></array></value>",
                            "<value><array><data/><data/></array></value>",
                            "<value><array><data><int>1</int></data></array></value>",
                            "<value><struct><value/></struct></value>",
                            "<value><struct><member><name>a</name></member></struct></value>",
                            "<value><struct><member><value/></member></struct></value>",
                            "<value><struct><member/></struct></value>",
                            "<value><struct><member><name>a</name><value/><value/></member></struct></value>",
                            "<int>1</int>"})
    EXPECT_EQ(fault_of_value(value).code, fault_code::not_well_formed) << value;
}

TEST(Xmlrpc, WhatIsNoResponseIsBroken) {
  for (const char* body :
       {"", "<methodCall/>", "<methodResponse/>", "<methodResponse><params/></methodResponse>",
        "<methodResponse><params><param><value/></param><param><value/></param></params></methodResponse>",
        "<methodResponse><fault><value>1</value></fault></methodResponse>", "<methodResponse><fault/></methodResponse>",
        "<methodResponse><fault><value><struct><member><name>faultCode</name><value>x</value></member></struct></"
        "value></fault></methodResponse>"})
    EXPECT_TRUE(std::holds_alternative<Broken>(decode_response(body))) << body;
}

TEST(Xmlrpc, WhatXmlCannotSayIsReplaced) {
  const ResponseResult result =
      decode_response(encode_response(Value{std::string{"a\0b\xff\x01"
                                                        "c\xc3",
                                                        7}}));
  EXPECT_EQ(std::get<Value>(result), Value{"a?b??c?"});
}

}  // namespace
}  // namespace pfsync::engine::xmlrpc
