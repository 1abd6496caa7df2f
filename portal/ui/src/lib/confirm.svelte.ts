/** A question before something is taken away. */
export interface Question {
  title: string;
  /** What it will do and end; counted when the question is asked. */
  body: string | Promise<string>;
  act: string;
  /** Has a text that whoever it happens to is told. */
  message?: string;
  run: (message: string) => Promise<unknown>;
}

export const asked = $state<{ question?: Question | undefined }>({});

export function ask(question: Question) {
  asked.question = question;
}
