// Tables as text: accepted files, and for all others an error of one line that names the place.
#include <sys/resource.h>

#include <chrono>

#include "read_test.h"

namespace cuvae::test {
namespace {

using Values = std::vector<float>;

void expect_table(const std::string& text, Index cols, const Values& values) {
  for (const std::string& bytes : {text, gzip(text)}) {
    const Dataset set = read_bytes_as_data(bytes);
    EXPECT_EQ(set.dtype(), DType::f32);
    EXPECT_EQ(set.cols(), cols) << text;
    EXPECT_EQ(values_of(set), values) << text;
  }
}

TEST(Csv, EveryDelimiterAndEndOfLine) {
  for (const std::string delimiter : {",", "\t", ";", " ", ", ", "  ", " ; "})
    for (const std::string end : {"\n", "\r\n", "\r"})
      for (const std::string header : {"", "income", "\"the income\"", "\xef\xbb\xbf",
                                       "\xef\xbb\xbf"
                                       "age",
                                       "# age"})
        for (const std::string last : {"", "\n", "\r\n\r\n", "\n  \n\t\n"}) {
          const bool named = header.find_first_of("ae") != header.npos;
          std::string text = header;
          if (named) text += delimiter + "b" + end;
          text += "1" + delimiter + "-2.5" + end + "3e-1" + delimiter + "+4" + last;
          expect_table(text, 2, {1, -2.5F, 0.3F, 4});
        }
}

TEST(Csv, QuotesAndSpaces) {
  expect_table("\"1\",\" 2 \"\n\"3\" , 4\n", 2, {1, 2, 3, 4});
  expect_table("\"a, b\",\"say \"\"c\"\"\"\n1,2\n", 2, {1, 2});
  expect_table("  1   2  \n 3\t4 \n", 2, {1, 2, 3, 4});
  expect_table("\n\n1,2\n", 2, {1, 2});
}

TEST(Csv, OneColumnAndOneRow) {
  expect_table("5\n6\n", 1, {5, 6});
  expect_table("my income\n5\n6\n", 1, {5, 6});
  expect_table("1,2,3", 3, {1, 2, 3});
  expect_table("7", 1, {7});
}

TEST(Csv, NumbersOfEveryForm) {
  expect_table("0,-0,1.,.5,1E3,1e-3,16777217,1e-60,0.1,3.4028234e38\n", 10,
               {0, -0.0F, 1, 0.5F, 1000, 0.001F, 16777216, 0, 0.1F, 3.4028234e38F});
}

TEST(Csv, WhatNumpySavetxtWrites) {
  expect_table("# a b\n1.000000000000000056e-01 2.000000000000000000e+00\n", 2, {0.1F, 2});
  expect_table("# a,b\n1.000000000000000056e-01,2.000000000000000000e+00\n", 2, {0.1F, 2});
}

TEST(Csv, AColumnOfRowsMayBeLong) {
  std::string text = "x,y\n";
  Values values;
  for (int i = 0; i < 60000; ++i) {  // more than one buffer, whose ends cut lines and CRLF everywhere
    text += std::to_string(i) + "," + std::to_string(i % 7) + (i % 3 == 0 ? "\r\n" : "\n");
    values.insert(values.end(), {static_cast<float>(i), static_cast<float>(i % 7)});
  }
  expect_table(text, 2, values);
}

TEST(Csv, FieldsThatAreNoNumbers) {
  EXPECT_EQ(read_error("a,b\n1,2\n3,x\n"), "line 3, column 2: \"x\" is not a number");
  EXPECT_EQ(read_error("1,2\n3,0x4\n"), "line 2, column 2: \"0x4\" is not a number");
  EXPECT_EQ(read_error("5.1,3.5,setosa\n4.9,3,setosa\n"), "line 2, column 3: \"setosa\" is not a number");
  EXPECT_EQ(read_error("1,5;2,5\n3,5;4,5\n"),
            "line 1, column 1: \"1,5\" is not a number: write it with a decimal point");
  EXPECT_EQ(read_error("a,b\n1,inf\n"), "line 2, column 2: \"inf\" is not finite");
  EXPECT_EQ(read_error("a,b\n1,-1e39\n"), "line 2, column 2: \"-1e39\" is beyond the range of float32");
  EXPECT_EQ(read_error("a,b\n1,1e999\n"), "line 2, column 2: \"1e999\" is beyond the range of float32");
  EXPECT_EQ(read_error("1,2\n3,+-4\n"), "line 2, column 2: \"+-4\" is not a number");
  EXPECT_EQ(read_error(std::string("1,2\n3,4\0\n", 9)).substr(0, 14), "unknown format");
}

TEST(Csv, MissingValues) {
  const std::string reason = " is missing: fill it in, remove the row, or train with missing values (--missing)";
  for (const std::string word : {"", "nan", "NaN", "NA", "-nan", "null", "?", "N/A", "None"}) {
    EXPECT_EQ(read_error("a,b\n1,2\n" + word + ",4\n"), "line 3, column 1: \"" + word + "\"" + reason);
    // Must not count as a header, because the row would then be lost silently.
    EXPECT_EQ(read_error("1," + word + ",2\n3,4,5\n"),
              "line 1, column 2: \"" + word + "\"" + reason + " (a header line must have a name that is not a number)");
  }
  EXPECT_EQ(read_error("a,b\n1,2,\n"), "line 2 has 3 fields, but the header has 2");
}

TEST(Csv, RaggedRows) {
  EXPECT_EQ(read_error("1,2\n3\n"), "line 2 has 1 field, but the first row has 2");
  EXPECT_EQ(read_error("1,2\n3,4\n5,6,7\n"), "line 3 has 3 fields, but the first row has 2");
  EXPECT_EQ(read_error("a,b,c\n1,2\n"), "line 2 has 2 fields, but the header has 3");
  EXPECT_EQ(read_error("1,2\n\n3,4\n"), "line 2 is blank, but rows follow");
  EXPECT_EQ(read_error("1,2\n\"3,4\n"), "line 2 has a quote that does not enclose a field");
  EXPECT_EQ(read_error("1,2\n\"3\"4,5\n"), "line 2 has a quote that does not enclose a field");
}

TEST(Csv, TextThatIsNoTable) {
  EXPECT_EQ(read_error("hello, world"), "not a table of numbers: the only line is \"hello, world\"");
  EXPECT_EQ(read_error("# Title\n\nSome text here.\n"), "not a table of numbers: line 3 is \"Some text here.\"");
  EXPECT_EQ(read_error("{\n  \"a\": 1\n}\n"), "line 2 has a quote that does not enclose a field");
  EXPECT_EQ(read_error("a,b\n"), "not a table of numbers: the only line is \"a,b\"");
  EXPECT_EQ(read_error("\n \n"), "is empty");
  EXPECT_EQ(read_error(std::string("\xff\xfe\x31\0,\0", 6)), "UTF-16 text at byte 0: save the table as UTF-8");
}

TEST(Csv, EveryPrefixGivesATableOrOneLine) {
  const TempDir dir;
  const std::string text =
      "\xef\xbb\xbf"
      "\"a\"\"\",b\r\n\"1.5\",-2e-3\r\n+3 , 4\r\n\r\n";
  for (std::size_t size = 1; size < text.size(); ++size) {
    try {
      const Dataset set = Dataset::open(write(dir / "x", text.substr(0, size)), Split::train);
      EXPECT_EQ(set.cols(), 2) << size;
    } catch (const Error& error) {
      EXPECT_TRUE(std::string(error.what()).starts_with((dir / "x").string())) << error.what();
    }
  }
}

TEST(Csv, AWidthThatIsNotWantedIsRefusedAtTheFirstRow) {
  const TempDir dir;
  const auto path = write(dir / "x", "a,b,c\n1,2,3\nx\n");
  expect_error([&] { Dataset::open(path, Split::train, {2, 4}); }, "rows have 3 values but the model needs 2 or 4");
}

TEST(Csv, OnlyTheValuesStayInMemory) {
  const auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  // 200 MB of text in 200 kB of gzip: one value of 4 bytes for every 1000 of text, and then an error.
  const std::string line = std::string(999, ' ') + "1\n", lines = [&] {
    std::string text;
    for (int i = 0; i < 1000; ++i) text += line;
    return text;
  }();
  std::string bomb;
  for (int i = 0; i < 200; ++i) bomb += gzip(lines);
  const auto before = peak_kib();
  EXPECT_EQ(read_error(bomb + gzip("x\n")), "line 200001, column 1: \"x\" is not a number");
  EXPECT_LT(peak_kib() - before, 32 * 1024);
  // A line of many empty fields, which would need 16 bytes each.
  EXPECT_EQ(read_error(gzip(std::string(60 << 20, ','))), "line 1 has more than 1048576 fields");
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  constexpr long kShadow = 5;  // ThreadSanitizer keeps four bytes more for each byte
#else
  constexpr long kShadow = 1;
#endif
#else
  constexpr long kShadow = 1;
#endif
  EXPECT_LT(peak_kib() - before, kShadow * 512 * 1024);
  // A line without an end.
  bomb = gzip("1\n");
  for (int i = 0; i < 200; ++i) bomb += gzip(std::string(1 << 20, ' '));
  EXPECT_EQ(read_error(bomb), "line 2 is longer than 64 MiB: is this a table?");
}

}  // namespace
}  // namespace cuvae::test
