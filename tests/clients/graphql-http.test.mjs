// The audits of the npm library graphql-http: GraphQL over HTTP, 61 of them.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { serverAudits } from 'graphql-http';
import { URL_OF_GRAPH } from './town.mjs';

const audits = serverAudits({ url: URL_OF_GRAPH });

describe('graphql-http', () => {
  it('has 61 audits', () => assert.equal(audits.length, 61));

  for (const audit of audits) {
    it(`${audit.id} ${audit.name}`, async () => {
      const result = await audit.fn();
      assert.equal(result.status, 'ok', `${result.reason} (${result.response?.status})`);
    });
  }
});
