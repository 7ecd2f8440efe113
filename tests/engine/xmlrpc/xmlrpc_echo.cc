// Answers an XML-RPC call on standard input by an array of its parameters on standard output; `fault` by a fault.
#include <iostream>
#include <iterator>
#include <string>
#include <variant>

#include "engine/xmlrpc/codec.h"

int main() {
  using namespace pfsync::engine::xmlrpc;
  const std::string body{std::istreambuf_iterator<char>{std::cin}, {}};
  const CallResult result = decode_call(body);
  if (const auto* fault = std::get_if<Fault>(&result)) {
    std::cout << encode_fault(*fault);
    return 0;
  }
  const auto& call = std::get<Call>(result);
  if (call.method == "fault")
    std::cout << encode_fault({120, "carp.vhid: is <missing> & wanted"});
  else
    std::cout << encode_response(Value{call.params});
}
