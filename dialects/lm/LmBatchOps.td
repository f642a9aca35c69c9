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

def Lm_BlockCountOp : Lm_BatchCountOp<"block_count", "blocks of the longest sequence"> {
  let description = [{
    How many blocks of positions a sequence of the batch has at most.

    ```mlir
    %B = lm.block_count %batch
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

// What CPUs do of a step on a device: a part, see lm.run_part.

def Lm_PartNumberOp : Lm_BatchCountOp<"part_number", "which part of a device's step is asked for"> {
  let description = [{
    The number of the part that a `lm.run_part` asks for.

    ```mlir
    %p = lm.part_number %batch
    ```
  }];
}

def Lm_PartLayerOp : Lm_BatchCountOp<"part_layer", "the layer that a part is asked for"> {
  let description = [{
    The layer that a `lm.run_part` asks for.

    ```mlir
    %l = lm.part_layer %batch
    ```
  }];
}

def Lm_PartRowsOp : Lm_Op<"part_rows", [Pure]> {
  let summary = "what a part is given, and where its result goes";
  let description = [{
    T rows: those that the device gave as operand `number` of the `lm.run_part`, its destination
    being the last. Nobody writes to the others. Its extent is the batch's `lm.token_count`.

    ```mlir
    %x = lm.part_rows 0 of %batch : tensor<?x40xbf16>
    %to = lm.part_rows 3 of %batch : memref<?x40xf32>
    ```
  }];
  let arguments = (ins ConfinedAttr<I64Attr, [IntNonNegative]>:$number, Lm_BatchType:$batch);
  let results = (outs AnyTypeOf<[AnyRankedTensor, AnyMemRef]>:$rows);
  let assemblyFormat = "$number `of` $batch `:` type($rows) attr-dict";
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
}

#endif // MOEC_DIALECTS_LM_LMBATCHOPS_TD
