// Runs code that must throw Error and hands back its message, so that a test can look at every
// part.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "core/error.h"

namespace outsize {

template <class Code>
std::string message_of(ErrorKind kind, Code&& code) {
  try {
    code();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

}  // namespace outsize
