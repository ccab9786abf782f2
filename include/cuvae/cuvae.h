// Includes all public headers that a program needs.
#pragma once
#include "cuvae/aggregate.h"
#include "cuvae/backend.h"
#include "cuvae/bound.h"
#include "cuvae/checkpoint.h"
#include "cuvae/dataset.h"
#include "cuvae/error.h"
#include "cuvae/estimator.h"
#include "cuvae/evaluate.h"
#include "cuvae/exact.h"
#include "cuvae/standardization.h"
#include "cuvae/trainer.h"
#include "cuvae/vae.h"
