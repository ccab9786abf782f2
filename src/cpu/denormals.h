// Denormal numbers are treated as zero: a product with one costs a hundred cycles.
#pragma once
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace cuvae::cpu {

/// In effect for the calling thread while the object exists.
class FlushDenormals {
 public:
#if defined(__SSE__)
  FlushDenormals() : saved_(_mm_getcsr()) { _mm_setcsr(saved_ | 0x8040u); }  // flush to zero, denormals are zero
  ~FlushDenormals() { _mm_setcsr(saved_); }
#else
  FlushDenormals() = default;
#endif
  FlushDenormals(const FlushDenormals&) = delete;
  FlushDenormals& operator=(const FlushDenormals&) = delete;

 private:
#if defined(__SSE__)
  unsigned saved_;
#endif
};

}  // namespace cuvae::cpu
