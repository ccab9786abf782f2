// cuvae-bench fails like cuvae: one line that is safe for a terminal, and no file becomes a standard descriptor.
#include <gtest/gtest.h>

#include "dataset_files.h"
#include "run_program.h"
#include "temp_dir.h"

namespace cuvae::test {
namespace {

TEST(BenchProgram, FailuresAreOneLine) {
  const ProgramResult missing = run_program({CUVAE_BENCH, "memory", "--data", "no\n\x1b[31m"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_TRUE(missing.err.starts_with("cuvae-bench: no\\n\\x1b[31m: ")) << missing.err;
  EXPECT_EQ(missing.err.find('\n'), missing.err.size() - 1) << missing.err;
  const ProgramResult usage = run_program({CUVAE_BENCH, "mem\nory"});
  EXPECT_EQ(usage.code, 2);
  EXPECT_TRUE(usage.err.starts_with("cuvae-bench: ")) << usage.err;
  EXPECT_EQ(usage.err.find('\n'), usage.err.size() - 1) << usage.err;
}

// Nor may a result be lost without a word.
TEST(BenchProgram, ClosedDescriptorsTakeNoFile) {
  const TempDir dir;
  const std::string data = write(dir / "x", idx(0x08, {200, 28, 28}, std::string(200 * 784, '\xff')));
  const auto memory = [&](const std::string& redirection) {
    const std::string line = std::string("exec '") + CUVAE_BENCH + "' memory --data '" + data + "' " + redirection;
    return run_program({"/bin/sh", "-c", line});
  };
  EXPECT_EQ(memory("").code, 0);
  const ProgramResult closed = memory("<&- >&-");
  EXPECT_EQ(closed.code, 1);
  EXPECT_EQ(closed.err, "cuvae-bench: cannot write to standard output\n");
  EXPECT_EQ(memory("<&- >&- 2>&-").code, 1);
}

}  // namespace
}  // namespace cuvae::test
