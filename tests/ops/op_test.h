// A test per op of the list: TEST_P(OpTest, …) with op() and its samples.
#pragma once

#include <gtest/gtest.h>

#include "ops/ops.h"

namespace outsize::testing {

class OpTest : public ::testing::TestWithParam<const OpDef*> {
 protected:
  const OpDef& op() const { return *GetParam(); }
  std::vector<Sample> samples() const {
    return op().samples ? op().samples() : std::vector<Sample>{};
  }
};

inline std::string op_name(const ::testing::TestParamInfo<const OpDef*>& info) {
  return info.param->name;
}

}  // namespace outsize::testing
