// Runs a test program with interpreted kernels. A test fails if the interpreter reported something.
#include <gtest/gtest.h>

#include "src/problems.h"

namespace {

class Problems : public ::testing::EmptyTestEventListener {
  void OnTestEnd(const ::testing::TestInfo&) override {
    for (const std::string& problem : ptx::take_problems()) ADD_FAILURE() << problem;
  }
};

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
  listeners.Append(new Problems);  // the list owns it
  return RUN_ALL_TESTS();
}
