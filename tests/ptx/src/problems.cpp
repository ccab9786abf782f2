#include "problems.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "cuemu/control.h"

namespace ptx {
namespace {

struct Notes {
  std::vector<std::string> problems;
  std::string last;
};
Notes& notes() {
  static Notes n;
  return n;
}

}  // namespace

void problem(const std::string& text) {
  Notes& n = notes();
  n.last = text;
  if (std::find(n.problems.begin(), n.problems.end(), text) != n.problems.end()) return;
  n.problems.push_back(text);
  std::fprintf(stderr, "ptx: %s\n", text.c_str());
}

std::vector<std::string> take_problems() { return std::exchange(notes().problems, {}); }

void unknown(const std::string& what) {
  std::fprintf(stderr, "ptx: the interpreter does not know %s\n", what.c_str());
  std::abort();
}

}  // namespace ptx

const char* cuemu::last_report() { return ptx::notes().last.c_str(); }
