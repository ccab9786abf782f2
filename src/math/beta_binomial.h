// log p of a beta-binomial over 0 .. 255 and its derivatives, in float32 and without a library function.
//
// With n = k + j, K = k + a, J = j + b, S = a + b and N = n + S, log p = log n!/(k! j!) + log B(K, J) - log B(a, b) is
// a sum of nine log Gammas. With Stirling's series, log Gamma(z) = (z - 1/2) log z - z + log(2 pi)/2 + rest(z), this
// sum becomes
//   log p = k log(K n/(k N)) + j log(J n/(j N)) + a log(K S/(a N)) + b log(J S/(b N))
//           + 1/2 log(n a b N/(k j K J S)) - log(2 pi)/2 + rests.
// The four ratios are 1 -+ D/k, 1 +- D/j, ..., D = (k b - j a)/N (D with the signs -, +, +, -), and the logs' linear
// terms cancel. So the first line is minus the sum of four terms z (y - log(1 + y)), y = +-D/z. None of them is
// negative, so no large numbers are subtracted from each other. (Loader 2000, "Fast and accurate computation of
// binomial probabilities", does the same for binomials.)
//
// Arguments below 4 are moved up by 4: Gamma(z) = Gamma(z + 4) / (z (z + 1) (z + 2) (z + 3)). p is symmetric. So k and
// j are first swapped if k > j; then j, J and N never need a move.
//
// Errors. The series end with errors below 1/(1188 4^9) = 3.2e-9 (rest) and 1/(132 4^10) = 7.2e-9 (digamma). The terms
// that have both signs are at most 12 in size (the 4s of moved arguments); their sum has an error of 1e-6. A term
// z (y - log(1 + y)) has a relative error of 2^-20. a and b have errors of 2.5 ulp each, from exp; these are multiplied
// by d log p / d log a and d log p / d log b.
#pragma once
#include "math/formulas.h"

namespace cuvae::math {

/// condition ? a : b without a branch. If many ternaries have one condition, g++ makes branches, which it does not
/// vectorize.
#if defined(__CUDACC__)
CUVAE_FN float blend(bool condition, float a, float b) { return condition ? a : b; }
#else
CUVAE_FN float blend(bool condition, float a, float b) {
  const std::int32_t mask = -static_cast<std::int32_t>(condition);
  return from_bits((to_bits(a) & mask) | (to_bits(b) & ~mask));
}
#endif

/// rest(z) from 1/z, for z >= 4.
CUVAE_FN float stirling_rest(float r) {
  const float r2 = r * r;
  return r * (8.33333333e-2f - r2 * (2.77777778e-3f - r2 * (7.93650794e-4f - r2 * 5.95238095e-4f)));
}
/// digamma(z) - log z from 1/z, for z >= 4.
CUVAE_FN float digamma_rest(float r) {
  const float r2 = r * r;
  return -0.5f * r - r2 * (8.33333333e-2f - r2 * (8.33333333e-3f - r2 * (3.96825397e-3f - r2 * 4.16666667e-3f)));
}

/// An argument of log Gamma, moved up by 4 if it is below 4.
struct GammaArgument {
  float at, inverse;  // the argument after the move, and 1 / at
  bool moved;
  float move;     // 4 or 0
  float product;  // z (z + 1) (z + 2) (z + 3) / at^4 where it was moved, else 1
  float slope;    // the derivative of log(z (z + 1) (z + 2) (z + 3)) where it was moved, else 0
};
CUVAE_FN GammaArgument gamma_argument(float z) {
  GammaArgument g;
  g.moved = z < 4.0f;
  g.move = blend(g.moved, 4.0f, 0.0f);
  g.at = blend(g.moved, z + 4.0f, z);
  g.inverse = 1.0f / g.at;
  const float w = z * (z + 3.0f), all = w * (w + 2.0f), r2 = g.inverse * g.inverse;
  g.product = blend(g.moved, all * r2 * r2, 1.0f);
  g.slope = blend(g.moved, (2.0f * z + 3.0f) * (2.0f * w + 2.0f) / all, 0.0f);
  return g;
}

/// z log(ratio), where ratio = 1 + y and linear = z y. If |y| is small and z was not moved, the linear term is left
/// out. With v = y / (2 + y): log(1 + y) = 2 (v + v^3/3 + ...) and y - log(1 + y) = y v - 2 (v^3/3 + ...). The relative
/// error of the six terms at |v| = 1/3 is 3e-8 of y - log(1 + y).
struct LogRatio {
  float log, weighted, linear;
};
CUVAE_FN LogRatio log_ratio(float z, float ratio, float linear, bool moved) {
  const float v = linear / (2.0f * z + linear), w = v * v;
  const bool near = !moved & (w < 0.11f);
  const float cubic =
      2.0f * v * w *
      (3.33333333e-1f +
       w * (0.2f + w * (1.42857143e-1f + w * (1.11111111e-1f + w * (9.09090909e-2f + w * 7.69230769e-2f)))));
  const float far = math::log(blend(near, 1.0f, ratio));
  return {blend(near, 2.0f * v + cubic, far), blend(near, z * cubic - linear * v, z * far), blend(near, linear, 0.0f)};
}

/// From a = exp(log a) and b. d[0] and d[1] are the derivatives by log a and log b.
CUVAE_FN float beta_binomial(float count, float alpha, float beta, float& dlog_alpha, float& dlog_beta) {
  constexpr float n = 255.0f;
  const bool swap = count > 127.0f;
  const float k = blend(swap, n - count, count), j = n - k;
  const float a = blend(swap, beta, alpha), b = blend(swap, alpha, beta);
  const float J = j + b, S = a + b, N = n + S;
  const GammaArgument gk = gamma_argument(k), gK = gamma_argument(k + a), ga = gamma_argument(a),
                      gb = gamma_argument(b), gS = gamma_argument(S);
  const float rj = 1.0f / j, rJ = 1.0f / J, rN = 1.0f / N;
  const float D = (k * b - j * a) * rN;
  const LogRatio lk = log_ratio(k, gK.at * gk.inverse * n * rN, -D, gk.moved),
                 lj = log_ratio(j, J * rj * n * rN, D, false),
                 la = log_ratio(a, gK.at * ga.inverse * (gS.at * rN), D, ga.moved),
                 lb = log_ratio(b, J * gb.inverse * (gS.at * rN), -D, gb.moved);

  // k! is k times Gamma(k): the product of its move is that of k + 1.
  const float k_product =
      blend(gk.moved, (k + 1.0f) * (k + 2.0f) * (k + 3.0f) * gk.inverse * gk.inverse * gk.inverse, 1.0f);
  const float products = k_product * ga.product * gb.product / (gK.product * gS.product);
  const float root = n * gk.inverse * rj * (ga.at * gK.inverse) * (gb.at * rJ) * (N * gS.inverse);
  const float moves = gk.move + ga.move + gb.move - gK.move - gS.move;
  const float rests = (stirling_rest(gK.inverse) - stirling_rest(ga.inverse)) +
                      (stirling_rest(rJ) - stirling_rest(gb.inverse)) +
                      (stirling_rest(gS.inverse) - stirling_rest(rN)) - stirling_rest(gk.inverse) - stirling_rest(rj) +
                      3.26796885e-4f;  // the last is rest(n)
  const float linear = lk.linear + lj.linear + (la.linear + lb.linear);
  const float log_p = ((lk.weighted + lj.weighted) + (la.weighted + lb.weighted)) + linear +
                      (0.5f * math::log(root * products * products) - 0.918938533f + rests + moves);

  const float of_sum = digamma_rest(gS.inverse) - digamma_rest(rN);
  const float da = a * (la.log + (digamma_rest(gK.inverse) - digamma_rest(ga.inverse)) + of_sum) +
                   a * ((ga.slope - gK.slope) - gS.slope);
  const float db = b * (lb.log + (digamma_rest(rJ) - digamma_rest(gb.inverse)) + of_sum) + b * (gb.slope - gS.slope);
  dlog_alpha = blend(swap, db, da);
  dlog_beta = blend(swap, da, db);
  return log_p;
}

}  // namespace cuvae::math
