// JSON from files: only strict JSON is accepted, and time and memory are bounded.
#include "io/json_text.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>

#include "error_text.h"

namespace cuvae::test {
namespace {

using nlohmann::json;

void expect_refused(const std::string& text, const std::string& reason) {
  expect_error([&] { parse_json(text); }, reason);
  expect_error([&] { parse_ordered_json(text); }, reason);
}

std::string repeated(const std::string& part, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += part;
  return text;
}

TEST(JsonText, ReadsValues) {
  EXPECT_EQ(parse_json(R"( {"b": [1, -2, 0.5, true, null], "a": {"c": "\u00e4\n"}} )"),
            (json{{"b", {1, -2, 0.5, true, nullptr}}, {"a", {{"c", "\xc3\xa4\n"}}}}));
  EXPECT_EQ(parse_ordered_json(R"({"b":1,"a":2})").dump(), R"({"b":1,"a":2})");
  EXPECT_EQ(parse_json("[[1],[1]]").size(), 2u);
  EXPECT_EQ(parse_json(R"([{"a":1},{"a":2}])").size(), 2u) << "equal keys in two objects";
}

TEST(JsonText, NamesTheByteOfAnError) {
  expect_refused("", "is not JSON at byte 0");
  expect_refused("{\"a\":}", "is not JSON at byte 5");
  expect_refused("[1, 2", "is not JSON at byte 5");
  expect_refused("{} {}", "is not JSON at byte 3");
  expect_refused("[01]", "is not JSON at byte 2");
  expect_refused("[NaN]", "is not JSON at byte 1");
  expect_refused("[1,]", "is not JSON at byte 3");
  expect_refused("// \n1", "is not JSON at byte 0");
  expect_refused("\"\xff\"", "is not JSON at byte 1");
  expect_refused(std::string("{}\0", 3), "is not JSON at byte 2");
  expect_error([] { parse_json("[x", 100); }, "is not JSON at byte 101");
}

TEST(JsonText, RefusesEqualKeysInOneObject) {
  expect_refused(R"({"a":1,"b":2,"a":1})", "has the key \"a\" twice");
  expect_refused(R"([{"x\n":{"a":1,"a":2}}])", "has the key \"a\" twice");
  expect_refused(R"({"\n":1,"\u000a":2})", "has the key \"\\n\" twice");
}

TEST(JsonText, BoundsTheDepth) {
  EXPECT_NO_THROW(parse_json(repeated("[", 64) + repeated("]", 64)));
  expect_refused(repeated("[", 65) + repeated("]", 65), "nests deeper than 64 levels");
  expect_refused(repeated("{\"a\":", 1'000'000), "nests deeper than 64 levels");
}

// Quadratic readers need minutes for these.
TEST(JsonText, TakesLinearTimeAndBoundedMemory) {
  std::string object = "{", list = "[";
  for (int i = 0; i < 200'000; ++i) object += "\"key " + std::to_string(i) + "\":" + std::to_string(i) + ",";
  object.back() = '}';
  for (int i = 0; i < 1'000'001; ++i) list += "1,";
  list.back() = ']';
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(parse_json(object)["key 199999"], 199999);
  expect_error([&] { parse_ordered_json(object); }, "has an object of more than 1000 members");
  expect_refused(list, "has more than 1000000 values");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
}

TEST(JsonText, KeepsNumbersExact) {
  std::uint64_t u = 0;
  std::int64_t i = 0;
  double d = 0;
  EXPECT_TRUE(get_exactly(parse_json("18446744073709551615"), u));
  EXPECT_EQ(u, ~std::uint64_t{0});
  EXPECT_TRUE(get_exactly(parse_json("-9223372036854775808"), i));
  EXPECT_EQ(i, INT64_MIN);
  EXPECT_FALSE(get_exactly(parse_json("18446744073709551615"), i));
  EXPECT_FALSE(get_exactly(parse_json("18446744073709551616"), u)) << "is a double";
  EXPECT_FALSE(get_exactly(parse_json("-1"), u));
  EXPECT_TRUE(get_exactly(parse_json("7"), d));
  EXPECT_EQ(d, 7);
  EXPECT_TRUE(get_exactly(parse_json("4.9e-324"), d));
  EXPECT_EQ(d, 4.9e-324);
  expect_refused("[1e400]", "has a number that is too large");
}

TEST(JsonText, TakesOnlyTheTypeThatIsAskedFor) {
  std::uint32_t u = 0;
  bool b = false;
  float f = 0;
  std::string s;
  for (const char* text : {"4.7", "4.0", "7.9e20", "true", "null", "\"4\"", "[4]", "{}", "4294967296", "-1"})
    EXPECT_FALSE(get_exactly(parse_json(text), u)) << text;
  EXPECT_FALSE(get_exactly(json(1), b));
  EXPECT_FALSE(get_exactly(json(1e39), f));
  EXPECT_FALSE(get_exactly(json("1"), f));
  EXPECT_TRUE(get_exactly(json(3e38), f));
  EXPECT_FALSE(get_exactly(json(1), s));
  std::vector<std::int64_t> list;
  EXPECT_TRUE(get_exactly(json({1, 2}), list));
  EXPECT_EQ(list, (std::vector<std::int64_t>{1, 2}));
  EXPECT_FALSE(get_exactly(json({1, 2.5}), list));
  EXPECT_FALSE(get_exactly(json(1), list));
  std::vector<std::pair<double, double>> pairs;
  EXPECT_TRUE(get_exactly(json::parse("[[1,0.5]]"), pairs));
  EXPECT_FALSE(get_exactly(json::parse("[[1]]"), pairs));
}

TEST(JsonText, EscapesTextsForMessages) {
  EXPECT_EQ(in_quotes("a\n\x1b\xff"), "\"a\\n\\u001b\\ufffd\"");
  EXPECT_EQ(in_quotes(std::string(1000, 'x')).size(), 82u);
  EXPECT_EQ(short_text(json(4.7)), "4.7");
  EXPECT_EQ(short_text(json(std::string(1000, 'x'))).size(), 80u);
}

}  // namespace
}  // namespace cuvae::test
