// The emulator finds every planted mistake, in the mode that is made for it, and accepts each correct version.
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "cuda_runtime.h"
#include "cuemu/control.h"
#include "planted.h"

namespace {

using namespace planted;

class Planted : public ::testing::Test {
 protected:
  void TearDown() override {
    cuemu::set_seed(0);
    cuemu::set_across_blocks(false);
    cuemu::reset();
  }
};

constexpr int kSeeds = 8;

template <class F>
void expect_right_under_every_seed(F kernel) {
  for (int seed = 0; seed <= kSeeds; ++seed) {
    cuemu::set_seed(static_cast<unsigned>(seed));
    EXPECT_EQ(kernel(Variant::correct), Outcome::right) << "seed " << seed;
  }
}

template <class F>
void expect_wrong_under_every_seed_from(int first, F kernel) {
  for (int seed = first; seed <= kSeeds; ++seed) {
    cuemu::set_seed(static_cast<unsigned>(seed));
    EXPECT_EQ(kernel(Variant::mistaken), Outcome::wrong) << "seed " << seed;
  }
}

// Mistakes that only some seeds find.
template <class F>
void expect_right_in_order_only(F kernel) {
  cuemu::set_seed(0);
  EXPECT_EQ(kernel(Variant::mistaken), Outcome::right) << "in order";
  expect_wrong_under_every_seed_from(1, kernel);
}

// Mistakes that are reported in order and with every seed, with their place.
template <class F>
void expect_report(F kernel, const std::string& text) {
  for (int seed = 0; seed <= kSeeds; ++seed) {
    cuemu::set_seed(static_cast<unsigned>(seed));
    EXPECT_EQ(kernel(Variant::mistaken), Outcome::error) << "seed " << seed;
    const std::string report = cuemu::last_report();
    EXPECT_NE(report.find(text), report.npos) << "seed " << seed << ": " << report;
    EXPECT_NE(report.find("planted.cu:"), report.npos) << "seed " << seed << ": " << report;
    cuemu::reset();
  }
}

TEST_F(Planted, MissingBarrier) {
  expect_right_under_every_seed(missing_barrier);
#if !defined(CUEMU_TSAN)  // under ThreadSanitizer the race is reported: see the tests below
  expect_right_in_order_only(missing_barrier);
#endif
}

TEST_F(Planted, Lockstep) {
  expect_right_under_every_seed(lockstep);
#if !defined(CUEMU_TSAN)
  expect_right_in_order_only(lockstep);
#endif
}

TEST_F(Planted, TileLoop) {
  expect_right_under_every_seed(tile_loop);
#if !defined(CUEMU_TSAN)
  expect_wrong_under_every_seed_from(0, tile_loop);
#endif
}

TEST_F(Planted, DivergentBarrier) {
  expect_right_under_every_seed(divergent_barrier);
  expect_report(divergent_barrier, "divergent __syncthreads");
}

TEST_F(Planted, PartialBarrier) {
  expect_right_under_every_seed(partial_barrier);
  expect_report(partial_barrier, "divergent __syncthreads");
}

TEST_F(Planted, HalfAWarpWithAFullMask) {
  expect_right_under_every_seed(half_warp);
  expect_report(half_warp, "divergent warp collective");
}

TEST_F(Planted, WrongMask) {
  expect_right_under_every_seed(wrong_mask);
  expect_report(wrong_mask, "the mask 0000ffff does not name the calling lane");
}

TEST_F(Planted, TwoShuffles) {
  expect_right_under_every_seed(two_shuffles);
  expect_report(two_shuffles, "divergent warp collective");
}

TEST_F(Planted, EarlyExitIsAllowed) {
  expect_right_under_every_seed([](Variant) { return early_exit(); });
}

TEST_F(Planted, UninitialisedSharedMemory) {
  expect_right_under_every_seed(uninitialised);
  expect_right_under_every_seed(uninitialised_template);
#if defined(__clang__) && !defined(CUEMU_ASAN)
  cuemu::set_seed(0);
  EXPECT_EQ(uninitialised(Variant::mistaken), Outcome::wrong);
  EXPECT_EQ(uninitialised_template(Variant::mistaken), Outcome::wrong);
#else
  GTEST_SKIP() << "shared memory is filled with NaNs by clang without AddressSanitizer only";
#endif
}

TEST_F(Planted, TooMuchDynamicSharedMemory) {
  expect_right_under_every_seed(dynamic_too_large);
  EXPECT_EQ(dynamic_too_large(Variant::mistaken), Outcome::error);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess) << "a refused launch breaks nothing";
}

TEST_F(Planted, Overflows) {
  expect_right_under_every_seed(static_overflow);
  expect_right_under_every_seed(dynamic_overflow);
  expect_right_under_every_seed(global_overflow);
#if defined(CUEMU_ASAN)
  EXPECT_DEATH(static_overflow(Variant::mistaken), "global-buffer-overflow|out of bounds");
  EXPECT_DEATH(dynamic_overflow(Variant::mistaken), "heap-buffer-overflow");
  EXPECT_DEATH(global_overflow(Variant::mistaken), "heap-buffer-overflow");
#else
  GTEST_SKIP() << "overflows are found by AddressSanitizer";
#endif
}

TEST_F(Planted, Misaligned) {
  expect_right_under_every_seed(misaligned);
#if defined(CUEMU_UBSAN) && !defined(__clang__)
  EXPECT_DEATH(misaligned(Variant::mistaken), "misaligned address");
#else
  GTEST_SKIP() << "misaligned vectors are found by GCC's UndefinedBehaviorSanitizer";
#endif
}

// ThreadSanitizer reports and continues; the process then exits with code 66.
[[maybe_unused]] void expect_race(Outcome (*kernel)(Variant)) {
  EXPECT_EXIT(
      {
        kernel(Variant::mistaken);
        std::exit(0);
      },
      ::testing::ExitedWithCode(66), "data race");
}

TEST_F(Planted, RacesWithinABlock) {
  expect_right_under_every_seed(lost_update);
  expect_right_under_every_seed(wide_race);
#if defined(CUEMU_TSAN)
  expect_race(lost_update);
  expect_race(wide_race);
  expect_race(missing_barrier);
  expect_race(lockstep);
  expect_race(tile_loop);
#else
  GTEST_SKIP() << "races are found by ThreadSanitizer";
#endif
}

TEST_F(Planted, RacesBetweenBlocks) {
  cuemu::set_across_blocks(true);
  expect_right_under_every_seed(block_race);
  expect_right_under_every_seed(last_block);
#if defined(CUEMU_TSAN) && defined(__clang__)
  expect_race(block_race);
  expect_race(last_block);
#else
  GTEST_SKIP() << "races between blocks are found by ThreadSanitizer with clang";
#endif
}

}  // namespace
