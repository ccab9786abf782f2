// The interpreter reports every mistake that it knows, in order and under other schedules, and no correct kernel.
#include <gtest/gtest.h>

#include <utility>

#include "cuemu/control.h"
#include "planted.h"
#include "src/problems.h"

namespace {

struct Mistake {
  const char *name, *report;
};
constexpr Mistake kMistakes[] = {
    {"read past the end", "out of bounds read of 4 bytes, 4 bytes past the end of an allocation of 256"},
    {"write past the end", "out of bounds write of 4 bytes, 4 bytes past the end of an allocation of 1024"},
    {"misaligned", "misaligned 16-byte access, 4 past a multiple of 16"},
    {"uninitialised shared", "uninitialised shared read"},
    {"uninitialised global", "uninitialised global read"},
    {"past a shared array", "out of bounds shared write"},
    {"missing barrier", "shared race"},
    {"divergent barrier", "divergent barrier"},
    {"partial shuffle", "wait in a shuffle|shuffle with ended lanes"},
    {"no fence", "ticket while a thread's global writes are not fenced"},
    {"stale cache", "reads through the first-level cache what another block wrote"},
    {"blocks write the same", "two blocks write the same global word"}};

class Planted : public ::testing::TestWithParam<Mistake> {};
INSTANTIATE_TEST_SUITE_P(Ptx, Planted, ::testing::ValuesIn(kMistakes), [](const auto& mistake) {
  std::string name = mistake.param.name;
  for (char& c : name)
    if (c == ' ') c = '_';
  return name;
});

bool reported(const std::vector<std::string>& problems, const std::string& alternatives) {
  for (std::size_t at = 0; at != std::string::npos;) {
    const std::size_t bar = alternatives.find('|', at);
    const std::string text = alternatives.substr(at, bar == std::string::npos ? bar : bar - at);
    for (const std::string& problem : problems)
      if (problem.find(text) != std::string::npos) return true;
    at = bar == std::string::npos ? bar : bar + 1;
  }
  return false;
}

TEST_P(Planted, IsReportedAndItsTwinIsNot) {
  for (const unsigned seed : {0u, 1u, 2u, 3u, 4u}) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    cuemu::set_seed(seed);
    EXPECT_TRUE(planted::run(GetParam().name, false));
    for (const std::string& problem : ptx::take_problems()) ADD_FAILURE() << "of the correct kernel: " << problem;
    planted::run(GetParam().name, true);
    EXPECT_TRUE(reported(ptx::take_problems(), GetParam().report)) << cuemu::last_report();
    cuemu::reset();
  }
  cuemu::set_seed(0);
}

}  // namespace
