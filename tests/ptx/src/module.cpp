// The PTX of a module: its kernels and shared variables. The body of a kernel is parsed when it first runs.
#include <algorithm>
#include <map>

#include "problems.h"
#include "program.h"
#include "text.h"

namespace ptx {
namespace {

struct Entry {
  Kernel kernel;
  bool parsed = false;
};
std::map<std::string, Entry>& kernels() {
  static std::map<std::string, Entry> all;
  return all;
}

// Shared variables of the module are between kernels. There are no other variables or functions.
void read_declarations(const std::string& text, std::vector<SharedVariable>& shared) {
  for (const std::string& statement : split(text, ';')) {
    const std::size_t at = statement.find(".shared");
    if (at != std::string::npos) shared.push_back(parse_variable(statement.substr(at)));
    for (const std::string& word : words(statement))
      if (word == ".const" || word == ".global" || word == ".func") unknown("a module's " + word + ": " + statement);
  }
}

void read_parameters(const std::string& text, Kernel& kernel) {
  for (const std::string& declaration : split(text, ',')) {
    if (declaration.empty()) continue;
    const SharedVariable v = parse_variable(declaration);
    const u32 align = declaration.find(".align") == std::string::npos ? v.bytes : v.align;
    const u32 offset = (kernel.parameter_bytes + align - 1) / align * align;
    kernel.parameters.push_back({v.name, offset, v.bytes});
    kernel.parameter_bytes = offset + v.bytes;
  }
}

std::size_t closing_brace(const std::string& text, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    if (text[i] == '{') ++depth;
    if (text[i] == '}' && --depth == 0) return i;
  }
  unknown("a kernel without an end");
}

std::string without_comments(const std::string& text) {
  std::string rest;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "//") == 0) i = std::min(text.find('\n', i), text.size());
    if (i < text.size()) rest += text[i];
  }
  return rest;
}

}  // namespace

void load(const std::string& module) {
  const std::string text = without_comments(module);
  const auto shared = std::make_shared<std::vector<SharedVariable>>();
  for (std::size_t at = 0;;) {
    const std::size_t entry = text.find(".entry", at);
    read_declarations(text.substr(at, std::min(entry, text.size()) - at), *shared);
    if (entry == std::string::npos) return;
    const std::size_t open = text.find('(', entry), close = text.find(')', open), body = text.find('{', close),
                      end = closing_brace(text, body);
    Kernel kernel;
    kernel.name = trimmed(text.substr(entry + 6, open - entry - 6));
    kernel.pretty = readable(kernel.name);
    read_parameters(text.substr(open + 1, close - open - 1), kernel);
    const std::size_t most = text.find(".maxntid", close);
    if (most < body) kernel.max_threads = static_cast<u32>(std::stoul(text.substr(most + 8)));
    kernel.body = text.substr(body + 1, end - body - 1);
    kernel.module = shared;
    kernels()[kernel.name].kernel = std::move(kernel);
    at = end + 1;
  }
}

const Kernel* find_kernel(const std::string& name) {
  const auto found = kernels().find(name);
  if (found == kernels().end()) return nullptr;
  Entry& entry = found->second;
  if (!entry.parsed) parse(entry.kernel);
  entry.parsed = true;
  return &entry.kernel;
}

std::string place(const Kernel& kernel, const Instruction& instruction) {
  return kernel.pretty + " line " + std::to_string(instruction.line) + ": " + *instruction.text;
}

}  // namespace ptx
