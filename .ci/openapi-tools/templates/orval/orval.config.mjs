const input = process.env.SPEC;

export default {
  api: {
    input,
    output: {
      target: 'api.ts',
      schemas: 'model',
      client: 'fetch',
      mode: 'tags-split',
      workspace: 'client',
      headers: true,
      override: { mutator: { path: '../fetcher.ts', name: 'fetcher' } },
    },
  },
  zod: { input, output: { target: 'zod/zod.ts', client: 'zod' } },
};
