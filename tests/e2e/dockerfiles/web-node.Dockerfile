# A web application and the tools that build it.
FROM node:20 AS deps
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci

FROM node:20 AS Build
WORKDIR /app
COPY --from=deps /app/node_modules ./node_modules
COPY . .
ENV NODE_ENV production
RUN npm run build

FROM node:20-slim
MAINTAINER web team <web@example.invalid>
WORKDIR /app
COPY --from=build /app/dist ./dist
EXPOSE 3000
CMD node dist/server.js
