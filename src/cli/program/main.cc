// The program: everything is in the part `cli`.
#include "cli/commands.h"

int main(int argc, char** argv) {
  return outsize::run(argc, argv);
}
