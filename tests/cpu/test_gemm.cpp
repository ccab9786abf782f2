// Matrix products on the CPU, split for any number of threads. The matrices are whole numbers, whose sums are exact.
#include "cpu/gemm.h"

#include <memory>

#include "op_test.h"

namespace cuvae::cpu {
namespace {

struct Product {
  Op op_a, op_b;
  Index m, n, k;
  std::vector<float> a, b;

  Product(Op op_a_, Op op_b_, Index m_, Index n_, Index k_)
      : op_a(op_a_), op_b(op_b_), m(m_), n(n_), k(k_), a(digits(m * k, 1)), b(digits(k * n, 2)) {}

  static std::vector<float> digits(Index count, std::uint64_t seed) {
    std::vector<float> values = test::random_vector(count, seed, -3.5f, 3.5f);
    for (float& v : values) v = std::round(v);
    return values;
  }
  std::vector<float> wanted() const {
    const Index row_a = op_a == Op::none ? k : 1, col_a = op_a == Op::none ? 1 : m;
    const Index row_b = op_b == Op::none ? n : 1, col_b = op_b == Op::none ? 1 : k;
    std::vector<float> c;
    for (Index i = 0; i < m; ++i)
      for (Index j = 0; j < n; ++j) {
        float sum = 0;
        for (Index l = 0; l < k; ++l) sum += a[i * row_a + l * col_a] * b[l * row_b + j * col_b];
        c.push_back(sum);
      }
    return c;
  }
};

TEST(Gemm, AnyShapeOnAnyNumberOfThreads) {
  constexpr float kGuard = 12345;
  constexpr Index kSizes[] = {1, 7, 8, 9, 17, 40, 131};
  std::vector<std::unique_ptr<Team>> teams;
  for (const int threads : {1, 2, 3, 7, 16, 61}) teams.push_back(std::make_unique<Team>(threads));
  for (const auto& [op_a, op_b] : {std::pair{Op::none, Op::none}, {Op::none, Op::transpose}, {Op::transpose, Op::none}})
    for (const Index m : kSizes)
      for (const Index n : kSizes)
        for (const Index k : {Index{3}, (1 << 17) / (m * n) + 2}) {  // for one thread, and for several
          const Product p(op_a, op_b, m, n, k);
          const std::vector<float> wanted = p.wanted();
          for (const auto& team : teams) {
            std::vector<float> c(wanted.size() + 2, kGuard);
            gemm(*team, op_a, op_b, m, n, k, p.a.data(), p.b.data(), c.data() + 1);
            ASSERT_EQ(c.front(), kGuard);
            ASSERT_EQ(c.back(), kGuard);
            ASSERT_TRUE(std::equal(wanted.begin(), wanted.end(), c.begin() + 1))
                << m << " x " << n << " x " << k << ", " << team->size() << " threads";
          }
        }
}

}  // namespace
}  // namespace cuvae::cpu
