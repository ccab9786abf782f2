// Names in messages, in JSON and in printed commands.
#include "io/text.h"

#include <gtest/gtest.h>

#include "error_text.h"
#include "run_program.h"

namespace cuvae::test {
namespace {

const std::string kOdd[] = {"plain/name-1.png",
                            "two words",
                            "it's",
                            "$HOME `date` \"x\" \\ !",
                            "new\nline and\ttab",
                            "\x1b[31mred",
                            "caf\xe9",
                            "caf\xc3\xa9",
                            "\xc2\x9b"
                            "1m",
                            "%41 #1;&|<>()*?[]{}~",
                            "7\x01"
                            "7"};

TEST(Text, ControlsAndBrokenBytesAreShownAsEscapes) {
  EXPECT_EQ(printable("plain text, caf\xc3\xa9, \xe2\x82\xac, \xf0\x9f\x98\x80"),
            "plain text, caf\xc3\xa9, \xe2\x82\xac, \xf0\x9f\x98\x80");
  EXPECT_EQ(printable("a\nb\tc\x1b[31m\x7f\r"), "a\\nb\\tc\\x1b[31m\\x7f\\x0d");
  EXPECT_EQ(printable(std::string("a\0b", 3)), "a\\x00b");
  EXPECT_EQ(printable("\xc2\x9b"
                      "1m"),
            "\\xc2\\x9b1m");
  // Not UTF-8: a lone byte, an overlong form, a surrogate, beyond the last character, cut short.
  EXPECT_EQ(printable("\xe9 \xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82"),
            "\\xe9 \\xc0\\xaf \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80 \\xe2\\x82");
}

TEST(Text, ShellsReadAWordBack) {
  for (const std::string& name : kOdd) {
    const ProgramResult result = run_program({"/bin/bash", "-c", "printf %s " + shell_word(name)});
    EXPECT_EQ(result.out, name) << shell_word(name);
    EXPECT_EQ(printable(shell_word(name)), shell_word(name));
  }
  EXPECT_EQ(shell_word("runs/first"), "runs/first");
  EXPECT_EQ(shell_word("my run"), "'my run'");
  EXPECT_EQ(shell_word("-run"), "./-run");
  EXPECT_EQ(shell_word(""), "''");
}

TEST(Text, JsonKeepsEveryPath) {
  for (const std::string& name : kOdd) {
    const std::string path = "/data/" + name;
    EXPECT_EQ(path_from_json(path_to_json(path)), path);
  }
  EXPECT_EQ(path_to_json("caf\xc3\xa9"), "caf\xc3\xa9");
  EXPECT_EQ(path_to_json("/d/caf\xe9 1"), "file:///d/caf%e9%201");
  expect_error([] { path_from_json("file:///a%2"); }, "is not a file URI");
  expect_error([] { path_from_json("file:///a%zz"); }, "is not a file URI");
  expect_error([] { path_from_json("file:///a%00"); }, "is not a file URI");
}

}  // namespace
}  // namespace cuvae::test
