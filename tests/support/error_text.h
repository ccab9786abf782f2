// The text of the Error that a call throws.
#pragma once
#include <gtest/gtest.h>

#include <string>

#include "cuvae/error.h"

namespace cuvae::test {

/// Runs the call and returns the text of its Error. The test fails if there is no Error, or if its text has more than
/// one line.
template <typename Call>
std::string error_text(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    return text;
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// Expects an Error whose text contains the part.
template <typename Call>
void expect_error(Call&& call, const std::string& part) {
  const std::string text = error_text(call);
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << text << "\" should contain \"" << part << "\"";
}

}  // namespace cuvae::test
