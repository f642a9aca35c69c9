// The ops of the lm dialect that read a step's batch: how many rows it has, which, and where their
// results go.

#ifndef MOEC_DIALECTS_LM_LMBATCHOPS_TD
#define MOEC_DIALECTS_LM_LMBATCHOPS_TD

include "dialects/lm/LmSymbols.td"

class Lm_BatchCountOp<string mnemonic, string what> : Lm_Op<mnemonic, [Pure]> {
  let summary = what;
  let arguments = (ins Lm_BatchType:$batch);
  let results = (outs Index:$count);
  let assemblyFormat = "$batch attr-dict";
}

def Lm_TokenCountOp : Lm_BatchCountOp<"token_count", "T, the rows of the step"> {
  let description = "The rows of the step, at least 1.\n\n```mlir\n%T = lm.token_count %batch\n```";
}

def Lm_OutputCountOp : Lm_BatchCountOp<"output_count", "R, the rows whose logits are wanted"> {
  let description = [{
    The rows whose logits are wanted; may be 0.

    ```mlir
    %R = lm.output_count %batch
    ```
  }];
}

def Lm_QueryTileCountOp : Lm_BatchCountOp<"query_tile_count",
                                          "tiles of adjacent rows of one sequence"> {
  let description = [{
    How many pieces of adjacent rows the caller cut the sequences into, for attention.

    ```mlir
    %Q = lm.query_tile_count %batch
    ```
  }];
}

class Lm_BatchIdsOp<string mnemonic, string what> : Lm_Op<mnemonic, [Pure]> {
  let summary = what;
  let arguments = (ins Lm_BatchType:$batch);
  let results = (outs Ids:$ids);
  let assemblyFormat = "$batch `:` type($ids) attr-dict";
}

def Lm_TokenIdsOp : Lm_BatchIdsOp<"token_ids", "the token of each row"> {
  let description = [{
    T token ids, each below V.

    ```mlir
    %ids = lm.token_ids %batch : tensor<?xi32>
    ```
  }];
}

def Lm_PositionsOp : Lm_BatchIdsOp<"positions", "the position of each row in its sequence"> {
  let description = [{
    T positions, from 0.

    ```mlir
    %p = lm.positions %batch : tensor<?xi32>
    ```
  }];
}

def Lm_OutputRowsOp : Lm_BatchIdsOp<"output_rows", "the rows whose logits are wanted"> {
  let description = [{
    R row numbers, each below T.

    ```mlir
    %rows = lm.output_rows %batch : tensor<?xi32>
    ```
  }];
}

def Lm_LogitsOp : Lm_Op<"logits", [Pure]> {
  let summary = "where the logits go";
  let description = [{
    The caller's buffer of R x V logits.

    ```mlir
    %l = lm.logits %batch : memref<?x341xf32>
    ```
  }];
  let arguments = (ins Lm_BatchType:$batch);
  let results = (outs MemRefRankOf<[F32], [2]>:$buffer);
  let assemblyFormat = "$batch `:` type($buffer) attr-dict";
}

def Lm_ArenaOp : Lm_Op<"arena", [Pure]> {
  let summary = "the memory of the step";
  let description = [{
    All intermediate buffers of a step lie in it.

    ```mlir
    %a = lm.arena %batch : memref<?xi8>
    ```
  }];
  let arguments = (ins Lm_BatchType:$batch);
  let results = (outs MemRefRankOf<[I8], [1]>:$buffer);
  let assemblyFormat = "$batch `:` type($buffer) attr-dict";
}

#endif // MOEC_DIALECTS_LM_LMBATCHOPS_TD
