// Evaluation of rows that a backend may hold already.
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/bound.h"
#include "cuvae/evaluate.h"
#include "data/resident_data.h"

namespace cuvae {

/// evaluate() over rows of data that fit the model and are in its units; log-densities are in the data's units. Rows
/// that are not on the backend are sent there in batches.
Evaluation evaluate_rows(const Vae& vae, const ResidentData& data, const std::vector<std::uint32_t>& rows,
                         const EvaluateOptions& options);
BoundEvaluation evaluate_bound_rows(const Vae& vae, const ResidentData& data, const std::vector<std::uint32_t>& rows,
                                    const BoundOptions& options);

/// 0 to N - 1.
std::vector<std::uint32_t> all_rows(const Dataset& data);
/// Throws Error unless these rows exist and fit the model with this binarization.
void check_rows(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows, Binarize binarize);
/// Throws Error for numbers that are out of range and where there are no rows.
void check_options(const std::vector<std::uint32_t>& rows, Index samples, Index batch, Index samples_at_once);

}  // namespace cuvae
