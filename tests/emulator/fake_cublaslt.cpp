// A model of cuBLASLt in plain loops on the CPU. It requires everything that the documentation requires. If the
// documentation leaves a choice, it makes the worst one. Column-major: D [m, n] = epilogue(op(A) [m, k] op(B) [k, n]).
#include "fake_cublaslt.h"

#include <cuda_bf16.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>

#include "kernel_side.h"

namespace {

using Index = std::int64_t;

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "fake cuBLASLt: %s\n", what);
  std::abort();
}
void demand(bool condition, const char* what) {
  if (!condition) broken(what);
}

struct Description {
  cublasComputeType_t compute;
  int transpose_a = 0, transpose_b = 0;
  unsigned epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* vector = nullptr;  // the bias, or the place for its gradient
  int vector_type = -1;
};
struct Layout {
  cudaDataType type;
  Index rows, cols, ld;
};
struct Preference {
  std::size_t workspace = 0;
  std::uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_MASK, align[4] = {256, 256, 256, 256};  // of A, B, C, D
};
struct Plan {
  Preference preference;
  Description description;
  Layout a, b, d;
  std::size_t vector_align;
};
struct Product {
  Description description;
  Layout a, b, d;
  const void *from_a, *from_b;
  void* to;
  bool split;  // whether the sum over k has two parts of D's type
  bool add;    // whether beta is 1
};

// Kept until the process ends, because graphs may repeat a product.
template <class T>
T* keep(const T& value) {
  static std::deque<T> all;
  return &all.emplace_back(value);
}
template <class T, class Handle>
T& behind(Handle handle) {
  return *reinterpret_cast<T*>(handle);
}

std::size_t alignment(const void* p) {
  const auto address = reinterpret_cast<std::uintptr_t>(p) | 256;
  return address & (~address + 1);
}
bool is_bf16(int type) { return type == CUDA_R_16BF; }
float read(const void* p, int type, Index i) {
  return is_bf16(type) ? __bfloat162float(static_cast<const __nv_bfloat16*>(p)[i]) : static_cast<const float*>(p)[i];
}
void write(void* p, int type, Index i, float v) {
  if (is_bf16(type))
    static_cast<__nv_bfloat16*>(p)[i] = __float2bfloat16_rn(v);
  else
    static_cast<float*>(p)[i] = v;
  cuemu::memory_written(static_cast<char*>(p) + i * (is_bf16(type) ? 2 : 4), is_bf16(type) ? 2 : 4);
}

Index inner(const Description& d, const Layout& a) { return d.transpose_a != 0 ? a.rows : a.cols; }

void demand_shapes(const Description& d, const Layout& a, const Layout& b, const Layout& to) {
  demand(inner(d, a) == (d.transpose_b != 0 ? b.cols : b.rows), "the inner dimensions differ");
  demand((d.transpose_a != 0 ? a.cols : a.rows) == to.rows && (d.transpose_b != 0 ? b.rows : b.cols) == to.cols,
         "D has another shape");
  for (const Layout* l : {&a, &b, &to}) demand(l->ld >= l->rows, "a leading dimension is below the rows");
  demand(a.type == b.type, "A and B differ in type");
  if (is_bf16(a.type))
    demand(d.compute == CUBLAS_COMPUTE_32F, "bf16 is computed in float32 only");
  else
    demand(to.type == CUDA_R_32F, "float32 gives float32");
  demand(d.epilogue == CUBLASLT_EPILOGUE_DEFAULT ||
             (d.vector != nullptr && (d.vector_type == -1 ? int{to.type} : d.vector_type) == to.type),
         "the bias must have D's type");
}

void multiply(const Product& p) {
  const Description& d = p.description;
  const auto at = [](const void* m, const Layout& l, bool transposed, Index i, Index j) {
    return double{read(m, l.type, transposed ? j + i * l.ld : i + j * l.ld)};
  };
  const Index k = inner(d, p.a), half = p.split ? k / 2 : k;
  const auto sum = [&](Index i, Index j, Index begin, Index end) {
    double s = 0;
    for (Index l = begin; l < end; ++l)
      s += at(p.from_a, p.a, d.transpose_a != 0, i, l) * at(p.from_b, p.b, d.transpose_b != 0, l, j);
    return static_cast<float>(s);
  };
  const bool relu = d.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
  for (Index j = 0; j < p.d.cols; ++j)
    for (Index i = 0; i < p.d.rows; ++i) {
      float v = sum(i, j, 0, half);
      if (p.split)
        v = __bfloat162float(__float2bfloat16_rn(v)) + __bfloat162float(__float2bfloat16_rn(sum(i, j, half, k)));
      if (relu || d.epilogue == CUBLASLT_EPILOGUE_BIAS) v += read(d.vector, p.d.type, i);  // along D's rows
      if (relu && !(v > 0) && !(v != v && fake_cublaslt::behaviour().relu_keeps_nan)) v = 0;
      if (p.add) v += read(p.to, p.d.type, i + j * p.d.ld);
      write(p.to, p.d.type, i + j * p.d.ld, v);
    }
}

bool same(const Layout& x, const Layout& y) {
  return x.type == y.type && x.rows == y.rows && x.cols == y.cols && x.ld == y.ld;
}

}  // namespace

fake_cublaslt::Behaviour& fake_cublaslt::behaviour() {
  static Behaviour b;
  return b;
}

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(new char);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<char*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusName(cublasStatus_t) { return "CUBLAS_STATUS"; }
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE ? "invalid value" : "another error";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* handle, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  demand(scale == CUDA_R_32F, "the scale must be float32");
  *handle = reinterpret_cast<cublasLtMatmulDesc_t>(new Description{.compute = compute});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t handle) {
  delete &behind<Description>(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t handle, cublasLtMatmulDescAttributes_t attribute,
                                              const void* value, size_t bytes) {
  auto& d = behind<Description>(handle);
  const auto set = [&](auto& to) {
    demand(bytes == sizeof to, "an attribute of another size");
    std::memcpy(&to, value, bytes);
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      set(d.transpose_a);
      break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
      set(d.transpose_b);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      set(d.epilogue);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      set(d.vector);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      set(d.vector_type);
      break;
    default:
      broken("an attribute that is not modelled");
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* handle, cudaDataType type, uint64_t rows,
                                          uint64_t cols, int64_t ld) {
  *handle = reinterpret_cast<cublasLtMatrixLayout_t>(
      new Layout{type, static_cast<Index>(rows), static_cast<Index>(cols), ld});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t handle) {
  delete &behind<Layout>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* handle) {
  *handle = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t handle) {
  delete &behind<Preference>(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t handle,
                                                    cublasLtMatmulPreferenceAttributes_t attribute, const void* value,
                                                    size_t bytes) {
  auto& p = behind<Preference>(handle);
  if (attribute == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES) {
    demand(bytes == 8, "a preference of another size");
    std::memcpy(&p.workspace, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  }
  demand(bytes == 4, "a preference of another size");
  const int matrix = attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES;
  if (attribute == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK)
    std::memcpy(&p.reduction, value, bytes);
  else if (matrix >= 0 && matrix < 4)
    std::memcpy(&p.align[matrix], value, bytes);
  else
    broken("a preference that is not modelled");
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t description,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t to,
                                              cublasLtMatmulPreference_t preference, int wanted,
                                              cublasLtMatmulHeuristicResult_t* results, int* count) {
  const auto& d = behind<Description>(description);
  demand(wanted > 0 && same(behind<Layout>(c), behind<Layout>(to)), "C and D differ");
  demand_shapes(d, behind<Layout>(a), behind<Layout>(b), behind<Layout>(to));
  const fake_cublaslt::Behaviour& behaviour = fake_cublaslt::behaviour();
  *count = 0;
  if (d.epilogue != CUBLASLT_EPILOGUE_DEFAULT && behaviour.heuristic != CUBLAS_STATUS_SUCCESS)
    return behaviour.heuristic;
  if (d.epilogue != CUBLASLT_EPILOGUE_DEFAULT && behaviour.finds_none) return CUBLAS_STATUS_SUCCESS;
  const Plan* plan = keep(Plan{behind<Preference>(preference), d, behind<Layout>(a), behind<Layout>(b),
                               behind<Layout>(to), alignment(d.vector)});
  *results = {};
  std::memcpy(&results->algo, &plan, sizeof plan);
  results->state = CUBLAS_STATUS_SUCCESS;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha, const void* from_a,
                              cublasLtMatrixLayout_t a, const void* from_b, cublasLtMatrixLayout_t b, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout, void* to, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace, size_t workspace_bytes,
                              cudaStream_t stream) {
  const Product p{behind<Description>(description),
                  behind<Layout>(a),
                  behind<Layout>(b),
                  behind<Layout>(d_layout),
                  from_a,
                  from_b,
                  to,
                  false,
                  *static_cast<const float*>(beta) == 1};
  const Plan* plan = nullptr;
  std::memcpy(&plan, algorithm, sizeof plan);
  const Description &d = p.description, &planned = plan->description;
  demand_shapes(d, p.a, p.b, p.d);
  demand(c == to && c_layout == d_layout, "C is not D");
  demand(*static_cast<const float*>(alpha) == 1 && (p.add || *static_cast<const float*>(beta) == 0),
         "another alpha or beta");
  demand(!p.add || d.epilogue == CUBLASLT_EPILOGUE_DEFAULT, "a sum has an epilogue");
  demand(same(p.a, plan->a) && same(p.b, plan->b) && same(p.d, plan->d) && d.epilogue == planned.epilogue &&
             d.transpose_a == planned.transpose_a && d.transpose_b == planned.transpose_b,
         "this is not the product that was planned");
  const auto& align = plan->preference.align;
  demand(alignment(from_a) >= align[0] && alignment(from_b) >= align[1] && alignment(to) >= align[3],
         "a matrix is less aligned than planned");
  const bool with_epilogue = d.epilogue != CUBLASLT_EPILOGUE_DEFAULT;
  demand(!with_epilogue || alignment(d.vector) >= plan->vector_align, "the bias is less aligned than planned");
  demand(workspace_bytes >= plan->preference.workspace && alignment(workspace) >= 256, "the workspace is too small");
  const fake_cublaslt::Behaviour& behaviour = fake_cublaslt::behaviour();
  if (with_epilogue && behaviour.product != CUBLAS_STATUS_SUCCESS) return behaviour.product;
  Product* kept = keep(p);
  kept->split = is_bf16(p.d.type) && (plan->preference.reduction &
                                      (CUBLASLT_REDUCTION_SCHEME_INPLACE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE)) != 0;
  const auto work = [](void* product) { multiply(*static_cast<const Product*>(product)); };
  return cudaLaunchHostFunc(stream, work, kept) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
}
