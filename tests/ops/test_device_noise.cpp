// What kernels draw through cuRAND's Philox header, against the host's: words bit for bit, normals to a few ulp.
#include "device_noise.h"
#include "math/philox.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;

TEST(CudaNoise, AgreesWithTheHost) {
  if (!cuda_is_there() && !cuda_is_required()) GTEST_SKIP() << "no CUDA device";
  const auto backend = make_backend("cuda");
  constexpr Index kGroups = 1000;
  // Around zero, where the low counter word wraps, and at the end.
  for (const std::uint64_t first : {std::uint64_t{0}, (std::uint64_t{1} << 32) - 500, ~std::uint64_t{0} - kGroups})
    for (const std::uint64_t seed : {0ull, 1ull, 0xfedcba9876543210ull})
      for (const std::uint32_t step : {0u, 7u, 0xffffffffu})
        for (const Stream stream : {Stream::binarize, Stream::latent}) {
          SCOPED_TRACE("first group " + std::to_string(first) + ", seed " + std::to_string(seed) + ", step " +
                       std::to_string(step) + ", stream " + std::to_string(static_cast<int>(stream)));
          const Array<std::uint32_t> words(*backend, 4 * kGroups);
          const Array<float> normals(*backend, 4 * kGroups);
          backend->synchronize();  // the kernel runs on another stream
          ASSERT_EQ(device_noise({seed, stream}, step, first, kGroups, words.data(), normals.data()), cudaSuccess);

          std::vector<std::uint32_t> want_words;
          for (std::uint64_t w = first; w < first + kGroups; ++w)
            for (const std::uint32_t word : math::philox(seed, static_cast<std::uint32_t>(stream), step, w).v)
              want_words.push_back(word);
          expect_same_bits(words.get(), want_words, "words");

          if (first > std::uint64_t{1} << 61) continue;  // an element's number has 64 bits
          reference::Vector want, bound;
          for (std::uint64_t i = 4 * first; i < 4 * (first + kGroups); ++i) {
            want.push_back(reference::normal({seed, stream, step}, i));
            bound.push_back(reference::normal_error({seed, stream, step}, i));
          }
          expect_within(normals.get(), want, bound, "normals");
        }
}

}  // namespace
}  // namespace cuvae
