import type {
  Enum,
  EnumValue,
  Field,
  Message,
  Method,
  ProtoFile,
  Service,
} from "./schema.ts";

/**
 * Reads the part of proto3 that `proto/` uses: messages, enums, services, oneof, map, repeated and line
 * comments. Anything else (options, reserved, extensions, other syntax) is refused, so that nothing is
 * left out of the generated code unnoticed.
 */
export function parseProto(path: string, source: string): ProtoFile {
  return new Parser(path, source).file();
}

interface Token {
  readonly text: string;
  readonly line: number;
  /** The comment lines that stand directly above. */
  readonly doc: readonly string[];
}

const TOKEN =
  /(\s+)|\/\/ ?([^\n]*)|([A-Za-z_][\w.]*|\d+|"[^"\n]*"|[{}()=;<>,])/y;
const END: Token = { text: "", line: 0, doc: [] };

class Parser {
  readonly #tokens: Token[];
  #at = 0;
  #scope = "";

  constructor(readonly path: string, source: string) {
    this.#tokens = tokenize(path, source);
  }

  file(): ProtoFile {
    const doc = this.#peek().doc;
    const imports: string[] = [];
    const messages: Message[] = [];
    const enums: Enum[] = [];
    const services: Service[] = [];
    this.#expect("syntax", "=", '"proto3"', ";");
    this.#expect("package");
    const packageName = this.#scope = this.#name();
    this.#expect(";");
    while (this.#peek() !== END) {
      const token = this.#next();
      if (token.text === "import") {
        imports.push(this.#next().text.slice(1, -1));
        this.#expect(";");
      } else if (token.text === "message") {
        messages.push(this.#message(token.doc));
      } else if (token.text === "enum") enums.push(this.#enum(token.doc));
      else if (token.text === "service") {
        services.push(this.#service(token.doc));
      } else this.#refuse(token);
    }
    return {
      path: this.path,
      package: packageName,
      imports,
      doc,
      messages,
      enums,
      services,
    };
  }

  #message(doc: readonly string[]): Message {
    const name = this.#name();
    const outer = this.#scope;
    const fullName = this.#scope = `${outer}.${name}`;
    const fields: Field[] = [];
    const oneofs: string[] = [];
    const messages: Message[] = [];
    const enums: Enum[] = [];
    this.#expect("{");
    while (!this.#take("}")) {
      const token = this.#peek();
      if (this.#take("message")) messages.push(this.#message(token.doc));
      else if (this.#take("enum")) enums.push(this.#enum(token.doc));
      else if (this.#take("map")) {
        const { field, entry } = this.#map(token.doc);
        fields.push(field);
        messages.push(entry);
      } else if (this.#take("oneof")) {
        const oneof = this.#name();
        oneofs.push(oneof);
        this.#expect("{");
        while (!this.#take("}")) fields.push(this.#field(oneof));
      } else fields.push(this.#field(undefined));
    }
    this.#scope = outer;
    const numbers = new Set(fields.map((field) => field.number));
    if (numbers.size !== fields.length) {
      throw new Error(`${this.path}: ${fullName}: number used twice`);
    }
    return {
      name,
      fullName,
      doc,
      fields,
      oneofs,
      messages,
      enums,
      isMapEntry: false,
    };
  }

  #field(oneof: string | undefined): Field {
    const doc = this.#peek().doc;
    const repeated = oneof === undefined && this.#take("repeated");
    const type = this.#name();
    const name = this.#name();
    this.#expect("=");
    const number = this.#number();
    this.#expect(";");
    return { name, number, repeated, type, oneof, doc };
  }

  /** A map is a repeated message of two fields, on the wire and in descriptors. */
  #map(doc: readonly string[]): { field: Field; entry: Message } {
    this.#expect("<");
    const keyType = this.#name();
    this.#expect(",");
    const valueType = this.#name();
    this.#expect(">");
    const name = this.#name();
    this.#expect("=");
    const number = this.#number();
    this.#expect(";");
    const type = `${name[0]!.toUpperCase()}${name.slice(1)}Entry`;
    const part = { repeated: false, oneof: undefined, doc: [] };
    const entry: Message = {
      name: type,
      fullName: `${this.#scope}.${type}`,
      doc: [],
      fields: [
        { name: "key", number: 1, type: keyType, ...part },
        { name: "value", number: 2, type: valueType, ...part },
      ],
      oneofs: [],
      messages: [],
      enums: [],
      isMapEntry: true,
    };
    return {
      field: { name, number, repeated: true, type, oneof: undefined, doc },
      entry,
    };
  }

  #enum(doc: readonly string[]): Enum {
    const name = this.#name();
    const values: EnumValue[] = [];
    this.#expect("{");
    while (!this.#take("}")) {
      const valueDoc = this.#peek().doc;
      const valueName = this.#name();
      this.#expect("=");
      values.push({ name: valueName, number: this.#number(), doc: valueDoc });
      this.#expect(";");
    }
    return { name, fullName: `${this.#scope}.${name}`, doc, values };
  }

  #service(doc: readonly string[]): Service {
    const name = this.#name();
    const methods: Method[] = [];
    this.#expect("{");
    while (!this.#take("}")) {
      const methodDoc = this.#peek().doc;
      this.#expect("rpc");
      const methodName = this.#name();
      this.#expect("(");
      const clientStreaming = this.#take("stream");
      const input = this.#name();
      this.#expect(")", "returns", "(");
      const serverStreaming = this.#take("stream");
      const output = this.#name();
      this.#expect(")", ";");
      methods.push({
        name: methodName,
        doc: methodDoc,
        input,
        output,
        clientStreaming,
        serverStreaming,
      });
    }
    return { name, doc, methods };
  }

  #peek(): Token {
    return this.#tokens[this.#at] ?? END;
  }

  #next(): Token {
    return this.#tokens[this.#at++] ?? END;
  }

  #take(text: string): boolean {
    if (this.#peek().text !== text) return false;
    this.#at++;
    return true;
  }

  #expect(...texts: string[]): void {
    for (const text of texts) if (!this.#take(text)) this.#refuse(this.#peek());
  }

  #name(): string {
    const token = this.#next();
    if (!/^[A-Za-z_]/.test(token.text)) this.#refuse(token);
    return token.text;
  }

  #number(): number {
    const token = this.#next();
    if (!/^\d+$/.test(token.text)) this.#refuse(token);
    return Number(token.text);
  }

  #refuse(token: Token): never {
    throw new Error(
      `Cannot parse ${this.path}:${token.line}: unexpected "${token.text}"`,
    );
  }
}

function tokenize(path: string, source: string): Token[] {
  const tokens: Token[] = [];
  let doc: string[] = [];
  let line = 1;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < source.length) {
    const match = TOKEN.exec(source);
    if (match === null) {
      throw new Error(`Cannot parse ${path}:${line}: unexpected character`);
    }
    const [, space, comment, text] = match;
    if (space !== undefined) {
      const lines = space.split("\n").length - 1;
      line += lines;
      if (lines > 1) doc = []; // A blank line parts a comment from what follows.
    } else if (comment !== undefined) {
      doc.push(comment);
    } else {
      tokens.push({ text: text!, line, doc });
      doc = [];
    }
  }
  return tokens;
}
