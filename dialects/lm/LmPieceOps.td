// The ops of the lm dialect by which attention goes in pieces of a sequence, as for GPUs. Part of
// LmOps.td.

#ifndef MOEC_DIALECTS_LM_LMPIECEOPS_TD
#define MOEC_DIALECTS_LM_LMPIECEOPS_TD

class Lm_PieceOp<string mnemonic, int destinations, list<Trait> traits = []>
    : Lm_DestinationOp<mnemonic, destinations,
                       traits # [DeclareOpInterfaceMethods<SymbolUserOpInterface>]>;

def Lm_AttendTilesOp : Lm_PieceOp<"attend_tiles", 2> {
  let summary = "attention by tiles that go round the pieces of a sequence";
  let description = [{
    As `lm.attention`, of a cache of bf16 in `rows` and not indexed. A row's positions are cut into
    pieces at the multiples of `piece`, or of so large a power of two times that as leaves a row
    `pieces` at most: which depends on the row's own position, and on the cache's window or chunk.
    Each piece has a softmax of its own; they are put together in ascending order. In `room` (T x
    heads*values) lies what has been put together up to then.

    ```mlir
    lm.attend_tiles @attention[%layer] of %batch scale 0.28 piece 512 pieces 64
        ins(%q : memref<?x48xbf16>) outs(%o, %r : memref<?x48xbf16>, memref<?x48xf32>)
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$cache, F32Attr:$scale,
                       ConfinedAttr<I64Attr, [IntPositive]>:$piece,
                       ConfinedAttr<I64Attr, [IntPositive]>:$pieces, Index:$layer,
                       Lm_BatchType:$batch, Rows:$queries, Optional<Weight<1>>:$sinks, Rows:$out,
                       FloatRows:$room);
  let assemblyFormat = [{
    $cache `[` $layer `]` `of` $batch `scale` $scale `piece` $piece `pieces` $pieces
    `ins` `(` $queries `:` type($queries) `)` (`sinks` `(` $sinks^ `:` type($sinks) `)`)?
    `outs` `(` $out `,` $room `:` type($out) `,` type($room) `)` attr-dict (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_AttendPiecesOp : Lm_PieceOp<"attend_pieces", 1> {
  let summary = "attention to each piece of a sequence for itself";
  let description = [{
    The pieces of `lm.attend_tiles`, each for itself: row t of `parts` (T x heads * `pieces` *
    (values + 2)) holds for head j and the row's i-th piece the sums of the values, what the largest
    score was, in powers of two, and the sum of what the others are beside it. Pieces that a row has
    not are undefined. A row of the batch has `most` at most.

    ```mlir
    lm.attend_pieces @attention[%layer] of %batch scale 0.28 piece 512 pieces 2 most %n
        ins(%q : memref<?x48xbf16>) outs(%p : memref<?x112xf32>)
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$cache, F32Attr:$scale,
                       ConfinedAttr<I64Attr, [IntPositive]>:$piece,
                       ConfinedAttr<I64Attr, [IntPositive]>:$pieces, Index:$layer,
                       Lm_BatchType:$batch, Index:$most, Rows:$queries, FloatRows:$parts);
  let assemblyFormat = [{
    $cache `[` $layer `]` `of` $batch `scale` $scale `piece` $piece `pieces` $pieces `most` $most
    `ins` `(` $queries `:` type($queries) `)` `outs` `(` $parts `:` type($parts) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

def Lm_JoinPiecesOp : Lm_PieceOp<"join_pieces", 1> {
  let summary = "put the pieces of attention together";
  let description = [{
    Row t of `out`, head j: what `lm.attend_tiles` makes of the same pieces, bit by bit, of those
    that `lm.attend_pieces` made.

    ```mlir
    lm.join_pieces @attention of %batch piece 512 pieces 2 ins(%p : memref<?x112xf32>)
        outs(%o : memref<?x48xbf16>)
    ```
  }];
  let arguments = (ins FlatSymbolRefAttr:$cache, ConfinedAttr<I64Attr, [IntPositive]>:$piece,
                       ConfinedAttr<I64Attr, [IntPositive]>:$pieces, Lm_BatchType:$batch,
                       FloatRows:$parts, Optional<Weight<1>>:$sinks, Rows:$out);
  let assemblyFormat = [{
    $cache `of` $batch `piece` $piece `pieces` $pieces `ins` `(` $parts `:` type($parts) `)`
    (`sinks` `(` $sinks^ `:` type($sinks) `)`)? `outs` `(` $out `:` type($out) `)` attr-dict
    (`->` type($results)^)?
  }];
  let extraClassDeclaration = destinationDeclarations # overwrites;
}

#endif // MOEC_DIALECTS_LM_LMPIECEOPS_TD
