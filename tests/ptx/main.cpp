// Runs a test program whose kernels are interpreted: a test fails where the interpreter reported something.
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
  listeners.Append(new Problems);  // owned by the list
  return RUN_ALL_TESTS();
}
