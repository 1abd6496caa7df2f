// Writes src/lib/schema.ts: the API's schemas in docs/openapi.json as types.
import { readFileSync, writeFileSync } from 'node:fs';

const document = JSON.parse(readFileSync(new URL('../../../docs/openapi.json', import.meta.url), 'utf8'));
const schemas = Object.entries(document.components.schemas);
const lines = schemas.map(([name, schema]) => `${comment(schema)}export type ${name} = ${type(schema, '')};\n`);
writeFileSync(new URL('../src/lib/schema.ts', import.meta.url),
  `// Made from docs/openapi.json by scripts/types.mjs.\n\n${lines.join('\n')}`);

function type(schema, indent) {
  if (schema === true || Object.keys(schema).length === 0) return 'unknown';
  if (schema.$ref) return schema.$ref.split('/').at(-1);
  if ('const' in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(' | ');
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return either.map((one) => type(one, indent)).join(' | ');
  if (schema.allOf) return schema.allOf.map((one) => `(${type(one, indent)})`).join(' & ');
  const kinds = [schema.type ?? 'unknown'].flat();
  return kinds.map((kind) => named(kind, schema, indent)).join(' | ');
}

function named(kind, schema, indent) {
  switch (kind) {
    case 'string': case 'boolean': case 'null': case 'unknown': return kind;
    case 'integer': case 'number': return 'number';
    case 'array': return `Array<${type(schema.items ?? true, indent)}>`;
    case 'object': return object(schema, indent);
    default: throw new Error(`no type for ${kind}`);
  }
}

function object(schema, indent) {
  if (!schema.properties) {
    const values = schema.additionalProperties;
    return `Record<string, ${values && values !== true ? type(values, indent) : 'unknown'}>`;
  }
  const inner = `${indent}  `;
  const fields = Object.entries(schema.properties).map(([name, field]) => {
    const optional = schema.required?.includes(name) ? '' : '?';
    return `${comment(field, inner)}${inner}${JSON.stringify(name).replace(/^"(\w+)"$/, '$1')}${optional}: ${type(field, inner)};\n`;
  });
  return `{\n${fields.join('')}${indent}}`;
}

function comment(schema, indent = '') {
  const text = schema.description?.replaceAll('*/', '* /').replaceAll(/\s+/g, ' ');
  return text ? `${indent}/** ${text} */\n` : '';
}
