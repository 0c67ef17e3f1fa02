"""Pure functions over text: words, queries, scores, snippets, what an index stores."""
