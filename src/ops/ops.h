// All ops, for the test harness, the documentation and the benchmarks. Graph builders include the
// header of the op they use instead.
#pragma once

#include <span>

#include "graph/op.h"

namespace outsize {

// In the order of ops.inc.
std::span<const OpDef* const> all_ops();

// The kernel that runs a node: the first candidate that takes the query, else the float64 reference
// (whose workspace holds every operand in double). Throws nothing but out-of-memory.
std::unique_ptr<Kernel> make_kernel(const OpDef& op, const KernelQuery& query);
// As make_kernel, but says which candidates refused and why; for tests and `--explain`.
std::string explain_kernel(const OpDef& op, const KernelQuery& query);
// The reference as a kernel, whatever candidates there are.
std::unique_ptr<Kernel> make_reference_kernel(const OpDef& op, const KernelQuery& query);

}  // namespace outsize
